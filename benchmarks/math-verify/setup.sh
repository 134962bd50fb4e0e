#!/usr/bin/env bash
# Installs the Python Math-Verify that the benchmark and the conformance check compare with, once.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=.venv/math-verify
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import math_verify' 2>/dev/null; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet 'math-verify[antlr4_13_2]==0.9.0'
fi
