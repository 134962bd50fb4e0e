#!/usr/bin/env bash
# Installs node-llama-cpp (with its prebuilt llama.cpp) and the Python package that writes GGUF files, once.
set -euo pipefail
cd "$(dirname "$0")/../.."
peer=.cache/node-llama-cpp
if [ ! -d "$peer/node_modules/node-llama-cpp" ]; then
  mkdir -p "$peer"
  npm install --prefix "$peer" --ignore-scripts --no-audit --no-fund --no-save node-llama-cpp@3.22.1
fi
venv=.venv/gguf
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import gguf, safetensors' 2>/dev/null; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet gguf==0.19.0 safetensors==0.8.0 ml_dtypes==0.6.0
fi
