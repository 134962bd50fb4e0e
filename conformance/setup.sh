#!/usr/bin/env bash
# Builds a Python environment with PyTorch: .venv/torch, that of the conformance checks and of the benchmark peers, or
# with arguments .venv/NAME from a file of requirements. Does nothing when it is already there and complete. Needs python3 (>= 3.10) with venv, and a package index that has a CPU build of torch.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
environment="$root/.venv/${1:-torch}"
requirements="$root/${2:-conformance/requirements.txt}"
stamp="$environment/.requirements"

if [ -f "$stamp" ] && cmp -s "$stamp" "$requirements"; then exit 0; fi

echo "setting up $environment (a few minutes, once)" >&2
[ -x "$environment/bin/python" ] || "${PYTHON:-python3}" -m venv "$environment"
pip="$environment/bin/pip"
# The configured index first (it may hold a local CPU build), then PyTorch's own CPU index.
"$pip" install --quiet "$(grep '^torch==' "$requirements")" >&2 2> >(grep -v '^WARNING: Location' >&2) \
  || "$pip" install --quiet --index-url https://download.pytorch.org/whl/cpu "$(grep '^torch==' "$requirements")" >&2
before="$("$environment/bin/python" -W ignore -c 'import torch; print(torch.__version__)')"
"$pip" install --quiet -r "$requirements" >&2 2> >(grep -v '^WARNING: Location' >&2)
after="$("$environment/bin/python" -W ignore -c 'import torch; print(torch.__version__)')"
if [ "$before" != "$after" ]; then
  echo "setup.sh: installing the other requirements replaced torch $before by $after" >&2
  exit 1
fi
cp "$requirements" "$stamp"
