/**
 * One GRPO step on the embedded engine: MODEL_DIRECTORY PROMPTS COMPLETIONS PROMPT_LENGTH NEW_TOKENS
 * (see peers/grpo_step.py): sample, reward, advantages, clipped ratio loss, backward, AdamW.
 */
import { loadModel, type SampledSequence, type TokenLogprobs, type TokenSequence } from "@critique-grpo/engine";
import { commandLine, serve, threadOptions, timed, versions } from "./serve.js";
import { grpoPrompt } from "./workload.js";

interface GroupMember extends TokenSequence {
  readonly sampledLogprobs: Float32Array;
  readonly advantage: number;
}

const { directory, numbers } = commandLine();
const [prompts = 0, completions = 0, promptLength = 0, newTokens = 0] = numbers;
const model = await loadModel({ directory }, { contextLength: promptLength + newTokens, ...threadOptions() });
const adamW = { learningRate: 1e-5, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, maxGradNorm: 1 };
const clip = 0.2;
const tokens = prompts * completions * newTokens;
let step = 0;

/** Share of even token ids, as in the peer. */
function reward(sample: SampledSequence): number {
  return sample.tokens.filter((token) => token % 2 === 0).length / sample.tokens.length;
}

function trainingGroups(requests: readonly { prompt: number[] }[], samples: readonly SampledSequence[]): GroupMember[] {
  return requests.flatMap(({ prompt }, index) => {
    const group = samples.filter((sample) => sample.requestIndex === index);
    const rewards = group.map(reward);
    const mean = rewards.reduce((a, b) => a + b, 0) / group.length;
    const deviation = Math.sqrt(rewards.reduce((a, b) => a + (b - mean) ** 2, 0) / (group.length - 1));
    return group.map((sample, i) => ({
      prompt,
      response: sample.tokens,
      sampledLogprobs: sample.logprobs,
      advantage: (rewards[i]! - mean) / (deviation + 1e-4),
    }));
  });
}

/** PPO-clipped surrogate, mean over all tokens of the step. */
function clippedLoss({ advantage, sampledLogprobs }: GroupMember, current: TokenLogprobs) {
  const logprobGradient = new Float32Array(current.logprobs.length);
  let loss = 0;
  for (let t = 0; t < logprobGradient.length; t++) {
    const ratio = Math.exp(current.logprobs[t]! - sampledLogprobs[t]!);
    const clipped = Math.min(Math.max(ratio, 1 - clip), 1 + clip);
    const surrogate = Math.min(ratio * advantage, clipped * advantage);
    loss -= surrogate / tokens;
    logprobGradient[t] = surrogate === ratio * advantage ? (-ratio * advantage) / tokens : 0;
  }
  return { loss, logprobGradient };
}

await serve({ versions: versions(), settings: "defaults" }, async () => {
  const requests = Array.from({ length: prompts }, (_, row) => ({
    prompt: grpoPrompt((step * prompts + row) % (4 * prompts), promptLength, model.info.vocabularySize),
    count: completions,
    maxTokens: newTokens,
    temperature: 1,
    stopTokens: [],
    seed: step * prompts + row,
  }));
  step++;
  const times = await timed(async () => {
    const samples: SampledSequence[] = [];
    for await (const sample of model.sample(requests)) samples.push(sample);
    await model.forwardBackward(trainingGroups(requests, samples), clippedLoss);
    await model.optimizerStep(adamW);
  });
  return { ...times, tokens };
});
await model.close();
