#!/usr/bin/env bash
# The WebGPU provider on a software adapter beside the CPU provider: every operation and gradient, the device's runs,
# training, sampling and saving of whole models. The same tests as in `npm test`, with more shapes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
bash conformance/webgpu/setup.sh
SWIFTSHADER_DIRECTORY="$PWD/.venv/swiftshader" WEBGPU_CONFORMANCE=1 npx vitest run \
  packages/engine/src/graph/vjp.test.ts packages/engine/src/runtime/device.test.ts packages/engine/src/device "$@"
