/** Carry addition, the quickstart's task: the model does not know how to carry, only a critique can tell it. */

import { join } from "node:path";
import { makeSplits } from "example-carry-addition/data";
import { examineWarmUp } from "example-carry-addition/gate";
import { FULL_PLAN, warmUpOptimizer } from "example-carry-addition/plan";
import { RESPONSE_TOKENS } from "example-carry-addition/task";
import { writeModelFiles } from "example-carry-addition/tokenizer";
import { EXAMPLE_DIRECTORY } from "example-carry-addition/train-method";
import { warmUpExamples } from "example-carry-addition/warmup";
import type { Family } from "../family.js";

export const carryAddition: Family = {
  name: "carry-addition",
  title: "Carry addition: the base does not know the rule, only words can tell it",
  configFile: join(EXAMPLE_DIRECTORY, "critique-grpo.yaml"),
  responseTokens: RESPONSE_TOKENS,
  critics: {
    text: "{ type: program, module: src/critic.ts }",
    simple_gt: "{ type: program, module: src/critic-ground-truth.ts }",
  },
  mainCritic: "text",
  sizes: { train: 512, heldOut: 256 },
  steps: 90,
  equalTokenResponses: 9,
  warmUp: {
    ...FULL_PLAN.warmUp,
    optimizer: warmUpOptimizer,
    pairs: (seed) => (step) => warmUpExamples(FULL_PLAN.warmUp.batchSize, seed, step),
  },
  questions: (seed, sizes) => makeSplits(seed, { ...sizes, outOfDistribution: 0 }),
  writeModelFiles,
  async gate({ policy, codec, score }, seed) {
    const { converged, ...measured } = await examineWarmUp(
      { policy, codec, score, signal: new AbortController().signal },
      seed,
    );
    return { passed: converged, measured };
  },
};
