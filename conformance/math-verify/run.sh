#!/usr/bin/env bash
# Live agreement with Python Math-Verify on generated answers.
set -euo pipefail
cd "$(dirname "$0")/../.."
npx tsc -b packages/math-verify
benchmarks/math-verify/setup.sh
node conformance/math-verify/run.mjs "$@"
