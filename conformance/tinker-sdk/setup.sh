#!/usr/bin/env bash
# Builds .venv/tinker-sdk: the official Python SDK, newest release. Safe to run again. PYTHON=... picks the interpreter (>= 3.11).
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
venv="$root/.venv/tinker-sdk"
version="${TINKER_SDK_VERSION:-0.38.0}"
[ -f "$venv/.ready-$version" ] && exit 0

python="${PYTHON:-}"
for candidate in python3.11 python3.12 python3.13 python3; do
  [ -n "$python" ] && break
  if command -v "$candidate" >/dev/null 2>&1 && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python="$candidate"
  fi
done
[ -n "$python" ] || { echo "conformance/tinker-sdk needs Python >= 3.11 (set PYTHON=/path/to/python3)" >&2; exit 1; }

echo "building $venv with $("$python" --version)"
"$python" -m venv --clear "$venv" || { "$python" -m pip install --quiet --user virtualenv && "$python" -m virtualenv --clear "$venv"; }
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check "tinker==$version"
touch "$venv/.ready-$version"
