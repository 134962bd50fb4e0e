#!/usr/bin/env bash
# TensorBoard opens the event files of a run, and W&B's offline file is written from it: both hold the same numbers as
# metrics.jsonl. Both programs come from PyPI, into .venv/sinks.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
environment="$root/.venv/sinks"
here="$root/conformance/sinks"
if [ ! -f "$environment/.done" ]; then
  "${PYTHON:-python3}" -m venv "$environment"
  "$environment/bin/pip" install --quiet tensorboard==2.21.0 wandb==0.31.0 pyyaml >&2 2> >(grep -v '^WARNING: Location' >&2)
  touch "$environment/.done"
fi
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
node "$here/make_run.mjs" "$work"
"$environment/bin/python" -W ignore "$here/tensorboard_check.py" "$work"
"$environment/bin/python" -W ignore "$here/wandb_check.py" "$work/run"
