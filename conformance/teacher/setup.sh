#!/usr/bin/env bash
# Builds .venv/teacher: transformers with its server. Safe to run again. PYTHON=... picks the interpreter (>= 3.10).
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
environment="$root/.venv/teacher"
requirements="$root/conformance/teacher/requirements.txt"
stamp="$environment/.requirements"

if [ -f "$stamp" ] && cmp -s "$stamp" "$requirements"; then exit 0; fi

echo "setting up $environment (a few minutes, once)" >&2
[ -x "$environment/bin/python" ] || "${PYTHON:-python3}" -m venv "$environment"
pip="$environment/bin/pip"
# The configured index first (it may hold a local CPU build), then PyTorch's own CPU index.
"$pip" install --quiet "$(grep '^torch==' "$requirements")" >&2 2> >(grep -v '^WARNING: Location' >&2) \
  || "$pip" install --quiet --index-url https://download.pytorch.org/whl/cpu "$(grep '^torch==' "$requirements")" >&2
"$pip" install --quiet -r "$requirements" >&2 2> >(grep -v '^WARNING: Location' >&2)
cp "$requirements" "$stamp"
