import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type RunConfig, type RunConfigInput, runSchema } from "../config/schema.js";
import { createProgramCritic } from "../feedback/critique/program.js";
import { createScorer } from "../feedback/reward/reward.js";
import type { TrainingGroup } from "../rollout/records.js";
import { Stopwatch } from "../rollout/stopwatch.js";
import { collectGroups } from "../testing/collect-groups.js";
import { copyCodec, copyConfig, copyCritique, copyPolicy, copyQuestions, copyRewards } from "../testing/copy-task.js";
import type { TabularPolicy } from "../testing/tabular-policy.js";
import { splitEvenly, trainingSequences, updatePolicy } from "./update.js";
import { stepWarnings } from "./warnings.js";

function parse(overrides: Partial<RunConfigInput> = {}): RunConfig {
  return runSchema.parse(copyConfig({ miniBatches: 1, sampling: { maxTokens: 3 }, ...overrides }));
}

function rollout(config: RunConfig, policy: TabularPolicy = copyPolicy()): Promise<readonly TrainingGroup[]> {
  const score = createScorer(copyRewards, 0.5);
  const critic = createProgramCritic(copyCritique);
  return collectGroups(copyQuestions, {
    config,
    policy,
    codec: copyCodec,
    score,
    critic,
    step: 0,
    stopwatch: new Stopwatch(),
  });
}

async function update(config: RunConfig, groups: readonly TrainingGroup[], policy = copyPolicy()) {
  const statistics = await updatePolicy(groups, { config, policy, optimizerSteps: 0, stopwatch: new Stopwatch() });
  return { statistics, policy };
}

describe("updatePolicy", () => {
  it.each(["constant-length", "token-mean", "seq-mean-token-sum", "seq-mean-token-mean"] as const)(
    "does not depend on the split into micro-batches (%s)",
    async (aggregation) => {
      const config = parse({
        algorithm: { initialResponses: 3, aggregation, entropyCoefficient: 0.01, klCoefficient: 0.1 },
        optimizer: { learningRate: 1, maxGradNorm: 0 },
      });
      const groups = await rollout(config);
      const { policy: whole } = await update(config, groups);
      for (const microBatch of [1, 3]) {
        const { policy: split } = await update(config, groups, copyPolicy({ microBatch }));
        expect(split.logits).toEqual(whole.logits);
      }
    },
  );

  it("does not depend on the order of the questions in a mini-batch", async () => {
    const config = parse();
    const groups = await rollout(config);
    const forwards = await update(config, groups);
    const backwards = await update(config, [...groups].reverse());
    expect(backwards.statistics.gradNorm.value).toBeCloseTo(forwards.statistics.gradNorm.value, 12);
    for (const [i, logit] of forwards.policy.logits.entries()) expect(backwards.policy.logits[i]).toBeCloseTo(logit, 8);
  });

  it.each([1, 0.7])("starts with a ratio of 1 at temperature %d: sampler and trainer agree", async (temperature) => {
    const config = parse({ sampling: { maxTokens: 3, temperature } });
    const { statistics } = await update(config, await rollout(config));
    expect(statistics.maxLogprobDifference).toBeLessThan(1e-6);
    expect(statistics.clippedLow.value + statistics.clippedHigh.value).toBe(0);
  });

  it("also where the sampler truncates: logprobs are those of the whole distribution", async () => {
    const config = parse({ sampling: { maxTokens: 3, topK: 5, topP: 0.9 } });
    const { statistics } = await update(config, await rollout(config));
    expect(statistics.maxLogprobDifference).toBeLessThan(1e-6);
  });

  it("counts clipped tokens once the policy has moved within a step", async () => {
    const clip = { low: 0.05, high: 0.05 };
    const config = parse({
      miniBatches: 4,
      algorithm: { initialResponses: 3, clip },
      optimizer: { learningRate: 1 },
      refinement: { count: 0 },
      critique: { type: "none" },
    });
    const groups = (await rollout(config)).map((group) => ({
      ...group,
      members: group.members.map((member, i) => ({ ...member, advantage: i === 0 ? 1 : -1 })),
    }));
    const { statistics } = await update(config, [...groups, ...groups]);
    expect(statistics.optimizerSteps).toBe(4);
    expect(statistics.clippedLow.value + statistics.clippedHigh.value).toBeGreaterThan(0);
  });

  it("skips an update whose gradient is not finite, and counts it", async () => {
    const config = parse();
    const groups = await rollout(config);
    const policy = copyPolicy();
    const before = Float64Array.from(policy.logits);
    const broken = groups.map((group) => ({
      ...group,
      members: group.members.map((member) => ({ ...member, advantage: Number.NaN })),
    }));
    const { statistics } = await update(config, broken, policy);
    expect(statistics.skipped).toBe(1);
    expect(policy.logits).toEqual(before);
    await update(config, groups, policy);
    expect(policy.logits).not.toEqual(before);
  });

  it("pulls towards the reference with a KL term", async () => {
    const noReward = { advantage: 0 };
    const config = parse({
      algorithm: { initialResponses: 3, klCoefficient: 1, entropyCoefficient: 0 },
      optimizer: { learningRate: 0.01, weightDecay: 0 },
    });
    const groups = (await rollout(config)).map((group) => ({
      ...group,
      members: group.members.map((member) => ({ ...member, ...noReward })),
    }));
    const policy = copyPolicy();
    const row = copyCodec.encode("a")[0]! * policy.info.vocabularySize;
    for (let i = 0; i < policy.info.vocabularySize; i++) policy.logits[row + i]! += i % 2;
    const first = (await update(config, groups, policy)).statistics.kl.value;
    let last = first;
    for (let i = 0; i < 20; i++) last = (await update(config, groups, policy)).statistics.kl.value;
    expect(first).toBeGreaterThan(0);
    expect(last).toBeLessThan(first / 2);
  });
});

describe("trainingSequences", () => {
  it("trains refinements as answers to the bare question, on the sampled ids, without an old policy", async () => {
    const config = parse();
    const groups = await rollout(config);
    const sequences = trainingSequences(groups, config);
    expect(sequences).toHaveLength(groups.length * 4);
    for (const [i, sequence] of sequences.entries()) {
      const group = groups[Math.floor(i / 4)]!;
      const { response, advantage } = group.members[i % 4]!;
      expect(sequence).toMatchObject({
        prompt: group.prompt,
        advantage,
        origin: i % 4 === 3 ? "refinement" : "initial",
      });
      // The very array that was sampled: nothing was decoded and tokenised again.
      expect(sequence.response).toBe(response.tokens);
      expect(sequence.oldLogprobs).toBe(response.kind === "initial" ? response.logprobs : null);
    }
  });
});

describe("splitEvenly", () => {
  it("keeps order and every item, with sizes that differ by one at most", () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(), { minLength: 1, maxLength: 40 }),
        fc.integer({ min: 1, max: 9 }),
        (items, parts) => {
          const split = splitEvenly(items, parts);
          expect(split.flat()).toEqual(items);
          const sizes = split.map((part) => part.length);
          expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
        },
      ),
    );
  });
});

describe("a correction of the sampler", () => {
  const correction = (cap: number | null, overrides: Partial<RunConfigInput> = {}) =>
    parse({
      miniBatches: 2,
      algorithm: {
        initialResponses: 3,
        clip: { low: 0.2, high: 0.2 },
        samplerCorrection: cap === null ? null : { cap },
        entropyCoefficient: 0,
      },
      optimizer: { learningRate: 0.5, maxGradNorm: 0, weightDecay: 0 },
      ...overrides,
    });

  /** Whatever they are rewarded for: every token has a gradient. */
  const compared = async (config: RunConfig): Promise<readonly TrainingGroup[]> =>
    (await rollout(config)).map((group) => ({
      ...group,
      members: group.members.map((member, i) => ({ ...member, advantage: i === 0 ? 1 : -0.5 })),
    }));

  /** As if a sampler had drawn them that gives every token `factor` times the trainer's probability. */
  const drawnBy = (groups: readonly TrainingGroup[], factor: number): readonly TrainingGroup[] =>
    groups.map((group) => ({
      ...group,
      members: group.members.map((member) => {
        const { response } = member;
        if (response.kind !== "initial") return member;
        const logprobs = response.logprobs.map((logprob) => logprob + Math.log(factor));
        return { ...member, response: { ...response, logprobs } };
      }),
    }));

  it("changes no bit where sampler and trainer agree, in later mini-batches neither", async () => {
    const groups = await compared(correction(null));
    const plain = await update(correction(null), groups);
    const corrected = await update(correction(2), groups);
    expect(corrected.policy.logits).toEqual(plain.policy.logits);
    expect(corrected.statistics.sampler.weight.value).toBe(1);
    expect(corrected.statistics.sampler.kl.value).toBe(0);
  });

  it("weighs the first step by π/μ, up to the cap, and leaves refinements alone", async () => {
    const one = { miniBatches: 1 };
    const groups = await compared(correction(null, one));
    const plain = (await update(correction(null, one), groups)).statistics;
    expect(plain.byOrigin.initial.gradient.sum).toBeGreaterThan(0);
    for (const [factor, weight, capped] of [
      [0.8, 1.25, 0],
      [2, 0.5, 0],
      [0.1, 2, 1],
    ] as const) {
      const { sampler, byOrigin } = (await update(correction(2, one), drawnBy(groups, factor))).statistics;
      expect(byOrigin.initial.gradient.sum).toBeCloseTo(weight * plain.byOrigin.initial.gradient.sum, 5);
      expect(byOrigin.refinement.gradient.sum).toBe(plain.byOrigin.refinement.gradient.sum);
      expect(sampler.weight.value).toBeCloseTo(weight, 5);
      expect(sampler.capped.value).toBe(capped);
      expect(sampler.maxRatio).toBeCloseTo(1 / factor, 4);
      expect(sampler.kl.value).toBeCloseTo(1 / factor + Math.log(factor) - 1, 4);
    }
  });

  it("takes ratios of later mini-batches to the trainer before the step: a far sampler clips nothing", async () => {
    const slow = { optimizer: { learningRate: 1e-3, maxGradNorm: 0, weightDecay: 0 } };
    const groups = await compared(correction(null, slow));
    const clipped = ({ clippedLow, clippedHigh }: { clippedLow: { sum: number }; clippedHigh: { sum: number } }) =>
      clippedLow.sum + clippedHigh.sum;
    const toSampler = (await update(correction(null, slow), drawnBy(groups, 0.5))).statistics;
    expect(clipped(toSampler)).toBeGreaterThan(0);
    const { statistics } = await update(correction(2, slow), drawnBy(groups, 0.5));
    expect(clipped(statistics)).toBe(0);
    expect(statistics.sampler.weight.value).toBeCloseTo(2, 5);
    // One forward pass over the initial responses of the second half.
    const second = groups
      .slice(groups.length / 2)
      .flatMap(({ prompt, members }) =>
        members.flatMap(({ response }) => (response.kind === "initial" ? prompt.length + response.tokens.length : [])),
      );
    expect(statistics.passedTokens - toSampler.passedTokens).toBe(second.reduce((sum, tokens) => sum + tokens, 0));
  });

  it("takes the place of the warning that sampler and trainer disagree", async () => {
    const groups = drawnBy(await compared(correction(null)), 0.7);
    const warningsOf = async (config: RunConfig) =>
      stepWarnings(groups, (await update(config, groups)).statistics).join();
    expect(await warningsOf(correction(null))).toContain("sampler and trainer disagree");
    expect(await warningsOf(correction(2))).toBe("");
  });

  it("does not see micro-batches nor the order of the questions in a mini-batch", async () => {
    const config = correction(1.5, { miniBatches: 1 });
    const groups = drawnBy(await compared(config), 0.7);
    const { policy: whole } = await update(config, groups);
    for (const microBatch of [1, 3]) {
      expect((await update(config, groups, copyPolicy({ microBatch }))).policy.logits).toEqual(whole.logits);
    }
    const backwards = await update(config, [...groups].reverse());
    for (const [i, logit] of whole.logits.entries()) expect(backwards.policy.logits[i]).toBeCloseTo(logit, 6);
  });
});
