#!/usr/bin/env bash
# `critique-grpo eval` against a replaying endpoint; Python recomputes every verdict (Math-Verify) and every number.
# Arguments: questions of each benchmark (300). Needs ../shared/data.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
if [ ! -d "$root/../shared/data/gsm8k" ]; then
  echo "skipped: ../shared/data is not there"
  exit 0
fi
"$root/benchmarks/math-verify/setup.sh"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
node "$root/conformance/evaluation/evaluate.mjs" "$work/evaluation" "$@"
"$root/.venv/math-verify/bin/python" -W ignore "$root/conformance/evaluation/check.py" "$work/evaluation"
