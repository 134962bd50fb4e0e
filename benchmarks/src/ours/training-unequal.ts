/** Training on sequences of unequal lengths: MODEL_DIRECTORY LENGTHS_FILE (see peers/training_unequal.py). */
import { readFileSync } from "node:fs";
import { loadModel, type TokenLogprobs, type TokenSequence } from "@critique-grpo/engine";
import { commandLine, serve, threadOptions, timed, versions } from "./serve.js";
import { trainingToken } from "./workload.js";

const { directory, words } = commandLine();
const { lengths } = JSON.parse(readFileSync(new URL(`../../workloads/${words[0]}`, import.meta.url), "utf8")) as {
  readonly lengths: readonly (readonly [prompt: number, response: number])[];
};
const model = await loadModel({ directory }, threadOptions());

const sequences: TokenSequence[] = lengths.map(([prompt, response], row) => {
  const tokens = Array.from({ length: prompt + response }, (_, column) =>
    trainingToken(row, column, model.info.vocabularySize),
  );
  return { prompt: tokens.slice(0, prompt), response: tokens.slice(prompt) };
});
const tokens = lengths.reduce((sum, [prompt, response]) => sum + prompt + response, 0);
const weight = -1 / lengths.reduce((sum, [, response]) => sum + response, 0);

/** Mean cross-entropy of the response tokens of all sequences. */
function crossEntropy(_sequence: TokenSequence, current: TokenLogprobs) {
  const sum = current.logprobs.reduce((total, logprob) => total + logprob, 0);
  return { loss: weight * sum, logprobGradient: new Float32Array(current.logprobs.length).fill(weight) };
}

const adamW = { learningRate: 1e-4, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, maxGradNorm: 1 };

await serve({ versions: versions(), settings: "defaults" }, async () => {
  let loss = Number.NaN;
  const times = await timed(async () => {
    loss = (await model.forwardBackward(sequences, crossEntropy)).loss;
    await model.optimizerStep(adamW);
  });
  return { ...times, tokens, loss };
});
await model.close();
