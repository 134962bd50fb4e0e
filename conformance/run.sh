#!/usr/bin/env bash
# Live check of the engine against PyTorch and transformers on fresh random models. Arguments go to live.py:
#   bash conformance/run.sh [--seeds 2] [--seed N] [--architecture NAME] [--keep DIRECTORY]
# Needs npm ci; builds the packages and the Python environment itself.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
npx tsc -b packages/engine
bash conformance/setup.sh
exec .venv/torch/bin/python conformance/transformers/live.py "$@"
