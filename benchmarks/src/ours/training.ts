/** Forward, backward and AdamW step of the embedded engine: MODEL_DIRECTORY BATCH LENGTH (see peers/training.py). */
import { loadModel, type TokenLogprobs, type TokenSequence } from "@critique-grpo/engine";
import { commandLine, serve, threadOptions, timed, versions } from "./serve.js";
import { trainingToken } from "./workload.js";

const { directory, numbers } = commandLine();
const [batch = 0, length = 0] = numbers;
const model = await loadModel({ directory }, { contextLength: length, ...threadOptions() });

const sequences: TokenSequence[] = Array.from({ length: batch }, (_, row) => {
  const tokens = Array.from({ length }, (_, column) => trainingToken(row, column, model.info.vocabularySize));
  return { prompt: tokens.slice(0, 1), response: tokens.slice(1) };
});
const weight = -1 / (batch * (length - 1));

/** Mean cross-entropy of every next token. */
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
  return { ...times, tokens: batch * length, loss };
});
await model.close();
