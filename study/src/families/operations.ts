/** Operations: the model knows more than it answers, so that being told "wrong", or its own critique, can help. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { evaluate } from "critique-grpo";
import { makeSplits } from "example-operations/data";
import { RESPONSE_TOKENS } from "example-operations/task";
import { writeModelFiles } from "example-operations/tokenizer";
import { warmUpPairs } from "example-operations/warmup";
import { makeWorld } from "example-operations/world";
import type { Family } from "../family.js";
import { refinementSuccess } from "../refinement-probe.js";

const DIRECTORY = join(fileURLToPath(import.meta.resolve("example-operations/task")), "../..");
const BATCH_SIZE = 64;
/** Least greedy accuracy on words that are taught right, and least success of refinements that are told what to do. */
const KNOWN = 0.95;
const OBEYS = 0.9;

export const operations: Family = {
  name: "operations",
  title: "Operations: the base knows more than it answers",
  configFile: join(DIRECTORY, "run.yaml"),
  responseTokens: RESPONSE_TOKENS,
  critics: {
    simple: "{ type: simple }",
    simple_gt: "{ type: simple_gt }",
    text: "{ type: program, module: src/critic.ts }",
    self: '{ type: self, template: "{question}{response}?", sampling: { temperature: 1, topP: 1, maxTokens: 6 } }',
  },
  mainCritic: "self",
  sizes: { train: 288, heldOut: 288 },
  steps: 24,
  equalTokenResponses: 10,
  warmUp: {
    steps: 700,
    batchSize: BATCH_SIZE,
    extensionSteps: 150,
    maxExtensions: 2,
    optimizer: (first) => ({
      learningRate: first ? 4e-3 : 1.5e-3,
      schedule: "cosine",
      warmupSteps: first ? 50 : 10,
      finalFraction: 0.05,
      beta1: 0.9,
      beta2: 0.98,
      epsilon: 1e-8,
      weightDecay: 0.01,
      maxGradNorm: 1,
    }),
    pairs: (seed) => {
      const world = makeWorld(seed);
      return (step) => warmUpPairs(world, BATCH_SIZE, seed, step);
    },
  },
  questions: (seed, sizes) => makeSplits(makeWorld(seed), seed, sizes),
  writeModelFiles,
  async gate(examinee, seed, heldOut) {
    const { policy, codec, score } = examinee;
    const known = heldOut.filter((question) => question.dataSource === "known");
    const greedy = { score, samples: 1, temperature: 0, maxTokens: RESPONSE_TOKENS, seed };
    const measured = {
      known: (await evaluate(policy, codec, known, greedy)).summary.pass1.value,
      obeys: (await refinementSuccess(operations, examinee, "text", heldOut, seed)).success,
    };
    return { passed: measured.known >= KNOWN && measured.obeys >= OBEYS, measured };
  },
};
