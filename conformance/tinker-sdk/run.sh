#!/usr/bin/env bash
# The official Python SDK `tinker` trains on `critique-grpo serve` with a tiny real model: supervised and RL loops of the
# cookbook's shape, checkpoints, sampling. Builds the packages and .venv/tinker-sdk itself; needs npm ci and Python >= 3.11.
#   bash conformance/tinker-sdk/run.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
npx tsc -b packages/critique-grpo
bash conformance/tinker-sdk/setup.sh
exec node conformance/tinker-sdk/serve.mjs
