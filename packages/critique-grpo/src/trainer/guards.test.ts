import { describe, expect, it } from "vitest";
import { type RunConfig, type RunConfigInput, runSchema } from "../config/schema.js";
import { createProgramCritic } from "../feedback/critique/program.js";
import { createScorer } from "../feedback/reward/reward.js";
import type { TrainingGroup } from "../rollout/records.js";
import { Stopwatch } from "../rollout/stopwatch.js";
import { collectGroups } from "../testing/collect-groups.js";
import { copyCodec, copyConfig, copyCritique, copyPolicy, copyQuestions, copyRewards } from "../testing/copy-task.js";
import { updatePolicy } from "./update.js";

type Guards = NonNullable<NonNullable<RunConfigInput["algorithm"]>["offPolicy"]>;

/** Of the copy task: a critique makes right what the policy would not say by itself, so the refinements outweigh. */
function configure(offPolicy: Guards, overrides: Partial<RunConfigInput> = {}): RunConfig {
  return runSchema.parse(
    copyConfig({
      miniBatches: 1,
      algorithm: { initialResponses: 3, offPolicy, entropyCoefficient: 0 },
      optimizer: { learningRate: 0.1, maxGradNorm: 0, weightDecay: 0 },
      ...overrides,
    }),
  );
}

function rollout(config: RunConfig): Promise<readonly TrainingGroup[]> {
  return collectGroups(copyQuestions, {
    config,
    policy: copyPolicy(),
    codec: copyCodec,
    score: createScorer(copyRewards, 0.5),
    critic: createProgramCritic(copyCritique),
    step: 0,
    stopwatch: new Stopwatch(),
  });
}

async function update(config: RunConfig, groups: readonly TrainingGroup[], microBatch = 100, optimizerSteps = 0) {
  const policy = copyPolicy({ microBatch });
  const statistics = await updatePolicy(groups, { config, policy, optimizerSteps, stopwatch: new Stopwatch() });
  return { statistics, policy };
}

describe("guards", () => {
  it("cap the refinements' share of the gradient of each mini-batch, and say by what factor", async () => {
    const free = configure({});
    const groups = await rollout(free);
    const without = (await update(free, groups)).statistics;
    expect(without.gradientShare("refinement")).toBeGreaterThan(0.05);
    const capped = (await update(configure({ maxGradientShare: 0.05 }), groups)).statistics;
    expect(capped.gradientShare("refinement")).toBeCloseTo(0.05, 5);
    expect(capped.shareScale.value).toBeLessThan(1);
    expect(capped.passedTokens).toBe(2 * without.passedTokens);
    const loose = (await update(configure({ maxGradientShare: 0.99 }), groups)).statistics;
    expect(loose.shareScale.value).toBe(1);
    expect(loose.loss.value).toBe(without.loss.value);
  });

  it("weigh refinements by what the policy would have said by itself", async () => {
    const groups = await rollout(configure({}));
    const without = (await update(configure({}), groups)).statistics;
    const weighed = (await update(configure({ importanceCap: 1 }), groups)).statistics;
    expect(weighed.importance.value).toBeLessThan(1);
    expect(weighed.byOrigin.refinement.gradient.sum).toBeLessThan(without.byOrigin.refinement.gradient.sum);
    expect(weighed.byOrigin.initial.gradient.sum).toBe(without.byOrigin.initial.gradient.sum);
  });

  it("anneal: at half of its steps half of the refinements' gradient, at the end none; initial responses keep theirs", async () => {
    const config = configure({ annealing: { steps: 4 } }, { miniBatches: 2 });
    const groups = await rollout(config);
    const gradients = async (step: number) => {
      const single = configure({ annealing: { steps: 4 } });
      const { byOrigin } = (await update(single, groups, 100, step)).statistics;
      return [byOrigin.refinement.gradient.sum, byOrigin.initial.gradient.sum] as const;
    };
    const [start, half, end] = [await gradients(0), await gradients(2), await gradients(4)];
    expect(half[0]).toBeCloseTo(start[0] / 2, 6);
    expect(end[0]).toBe(0);
    expect([half[1], end[1]]).toEqual([start[1], start[1]]);
    // Two mini-batches a training step: 3 and 3.5 steps of 4 are done.
    expect((await update(config, groups, 100, 6)).statistics.annealing.value).toBeCloseTo((1 / 4 + 1 / 8) / 2, 12);
  });

  it("do not see micro-batches nor the order of the questions", async () => {
    const config = configure({ maxGradientShare: 0.05, importanceCap: 1, annealing: { steps: 3 } });
    const groups = await rollout(config);
    const whole = await update(config, groups, 100, 1);
    for (const microBatch of [1, 3]) {
      expect((await update(config, groups, microBatch, 1)).policy.logits).toEqual(whole.policy.logits);
    }
    const backwards = await update(config, [...groups].reverse(), 100, 1);
    for (const [i, logit] of whole.policy.logits.entries()) expect(backwards.policy.logits[i]).toBeCloseTo(logit, 6);
  });
});
