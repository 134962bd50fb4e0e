#!/usr/bin/env bash
# Live checks against real peers. Each builds the packages and its own Python environment under .venv/.
#   npm run conformance                      the engine against PyTorch and transformers (arguments go to live.py:
#                                            [--seeds 2] [--seed N] [--architecture NAME] [--keep DIRECTORY])
#   npm run conformance -- peft              LoRA adapters against PEFT: logprobs, gradients, directories, merge
#   npm run conformance -- baselines         the supervised presets' loss and AdamW step against PyTorch's cross-entropy
#   npm run conformance -- math-verify       the verifier beside Python's Math-Verify
#   npm run conformance -- evaluation        scores of an evaluation, and pass@k, recomputed by Math-Verify and Python
#   npm run conformance -- sinks             TensorBoard and W&B read the metrics of a run
#   npm run conformance -- tinker-wire       our wire format against the official tinker SDK's
#   npm run conformance -- tinker-sdk        the official tinker SDK trains on `critique-grpo serve`
#   npm run conformance -- skyrl             our Tinker client against a real SkyRL server (minutes)
#   npm run conformance -- teacher           a run whose teacher is `transformers serve`
#   npm run conformance -- webgpu            the WebGPU provider on a software adapter against the CPU provider (minutes)
#   npm run conformance -- all
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
npx tsc -b

run() {
  local name=$1
  shift
  case "$name" in
    engine)
      bash conformance/setup.sh
      .venv/torch/bin/python conformance/transformers/live.py "$@"
      ;;
    peft)
      bash conformance/setup.sh
      .venv/torch/bin/python -W ignore conformance/peft/live.py "$@"
      ;;
    baselines)
      bash conformance/setup.sh
      .venv/torch/bin/python conformance/baselines/check.py "$@"
      ;;
    math-verify) bash conformance/math-verify/run.sh "$@" ;;
    evaluation) bash conformance/evaluation/run.sh "$@" ;;
    sinks) bash conformance/sinks/run.sh "$@" ;;
    tinker-wire) node conformance/tinker-sdk/wire.mjs "$@" ;;
    tinker-sdk) bash conformance/tinker-sdk/run.sh "$@" ;;
    skyrl) node conformance/skyrl/run.mjs "$@" ;;
    teacher)
      bash conformance/setup.sh teacher conformance/teacher/requirements.txt
      node conformance/teacher/run.mjs "$@"
      ;;
    webgpu) bash conformance/webgpu/run.sh "$@" ;;
    all)
      for each in engine peft baselines math-verify evaluation sinks tinker-wire tinker-sdk teacher skyrl webgpu; do
        echo "== $each"
        run "$each"
      done
      ;;
    *)
      echo "There is no conformance check called \"$name\"; there are engine, peft, baselines, math-verify, evaluation, sinks, tinker-wire, tinker-sdk, teacher, skyrl, webgpu, all." >&2
      exit 2
      ;;
  esac
}

case "${1:-}" in
  "" | --*) run engine "$@" ;;
  *) run "$@" ;;
esac
