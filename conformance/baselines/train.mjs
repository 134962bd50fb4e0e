// The product's half of check.py: one training step of each supervised preset on the model in a directory.
//
//     node conformance/baselines/train.mjs MODEL_DIRECTORY OUTPUT_DIRECTORY
//
// Uses the built package only (npm run build), the way a stranger would. Prints {preset: {loss, runDirectory}} as JSON.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  byteTokenizer,
  createProgramCritic,
  loadTextCodec,
  openPolicy,
  resolveRunConfig,
  train,
  writeTokenizer,
} from "critique-grpo";

const [model, output] = process.argv.slice(2);
const END = "<|end|>";
writeTokenizer(model, byteTokenizer({ special: [END], eos: END }));
await writeFile(join(output, "unused.jsonl"), "");
const questions = Array.from({ length: 6 }, (_, i) => ({
  id: `q${i}`,
  dataSource: "conformance",
  text: `${i}+${i}=`,
  prompt: `${i}+${i}=`,
  gold: String(2 * i),
  solution: `${i} and ${i} are ${2 * i}.`,
  metadata: {},
}));
// Random weights are right about half of the time: what counts is which targets are taken.
const rewards = [{ name: "exact-match", score: ({ tokens }) => (tokens[0] % 2 === 0 ? 1 : 0) }];
const critic = createProgramCritic(({ question, response }) =>
  response.reward.correct ? "Right." : `Wrong: it is ${question.gold}.`,
);

const result = {};
for (const preset of ["sft", "raft", "refinement-ft", "critique-ft", "critique-in-the-loop-ft"]) {
  const config = resolveRunConfig({
    preset,
    engine: { type: "embedded", model, threads: 1 },
    data: { files: join(output, "unused.jsonl"), format: "plain" },
    steps: 1,
    questionsPerStep: questions.length,
    miniBatches: 1,
    sampling: { maxTokens: 6 },
    reward: { functions: [{ name: "exact-match" }] },
    // Who writes the critiques is given in code.
    ...(preset === "sft" || preset === "raft" ? {} : { critique: { type: "simple_gt" } }),
    refinement: { template: "{question}{response}{critique}" },
    optimizer: { learningRate: 1e-3, beta2: 0.95, epsilon: 1e-6, weightDecay: 0.1, maxGradNorm: 1 },
  });
  const runDirectory = join(output, preset);
  const policy = await openPolicy(config.engine);
  const codec = loadTextCodec(model);
  const { metrics } = await train({ config, policy, codec, questions, rewards, critic, runDirectory });
  await policy.close();
  result[preset] = { loss: metrics.loss, gradNorm: metrics.grad_norm, runDirectory };
}
console.log(JSON.stringify(result));
