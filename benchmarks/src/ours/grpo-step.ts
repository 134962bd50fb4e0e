/**
 * One GRPO step on the embedded engine: MODEL_DIRECTORY PROMPTS COMPLETIONS PROMPT_LENGTH NEW_TOKENS full|random
 * (see peers/grpo_step.py): sample, reward, advantages, clipped ratio loss, backward, AdamW. With `random`, completions
 * end at lengths of their own, up to NEW_TOKENS.
 */
import {
  loadModel,
  type SampledSequence,
  type SampleRequest,
  type TokenLogprobs,
  type TokenSequence,
} from "@critique-grpo/engine";
import { commandLine, serve, threadOptions, timed, versions } from "./serve.js";
import { completionLength, grpoPrompt } from "./workload.js";

interface GroupMember extends TokenSequence {
  readonly sampledLogprobs: Float32Array;
  readonly advantage: number;
}

const { directory, numbers, words } = commandLine();
const [prompts = 0, completions = 0, promptLength = 0, newTokens = 0] = numbers;
const model = await loadModel({ directory }, { contextLength: promptLength + newTokens, ...threadOptions() });
const adamW = { learningRate: 1e-5, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, maxGradNorm: 1 };
const clip = 0.2;
const randomLengths = words[0] === "random";
let step = 0;

/** Share of even token ids, as in the peer. */
function reward(sample: SampledSequence): number {
  return sample.tokens.filter((token) => token % 2 === 0).length / sample.tokens.length;
}

/** @param groups The completions of each prompt. */
function trainingGroups(requests: readonly SampleRequest[], groups: readonly (readonly SampledSequence[])[]) {
  return groups.flatMap((group, index): GroupMember[] => {
    const { prompt } = requests[index * (requests.length / prompts)]!;
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
const clippedLoss = (tokens: number) => (member: GroupMember, current: TokenLogprobs) => {
  const { advantage, sampledLogprobs } = member;
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
};

/** One request a prompt; one a completion where each has a length of its own. */
function requestsOf(row: number): SampleRequest[] {
  const request = {
    prompt: grpoPrompt(row % (4 * prompts), promptLength, model.info.vocabularySize),
    count: completions,
    maxTokens: newTokens,
    temperature: 1,
    stopTokens: [],
    seed: row,
  };
  if (!randomLengths) return [request];
  return Array.from({ length: completions }, (_, i) => {
    const index = row * completions + i;
    return { ...request, count: 1, maxTokens: completionLength(index, newTokens), seed: index };
  });
}

await serve({ versions: versions(), settings: "defaults" }, async () => {
  const requests = Array.from({ length: prompts }, (_, row) => requestsOf(step * prompts + row)).flat();
  step++;
  let tokens = 0;
  const times = await timed(async () => {
    const groups: SampledSequence[][] = Array.from({ length: prompts }, () => []);
    for await (const sample of model.sample(requests)) {
      groups[Math.floor((sample.requestIndex * prompts) / requests.length)]!.push(sample);
      tokens += sample.tokens.length;
    }
    await model.forwardBackward(trainingGroups(requests, groups), clippedLoss(tokens));
    await model.optimizerStep(adamW);
  });
  return { ...times, tokens };
});
await model.close();
