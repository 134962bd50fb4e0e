import { describe, expect, it } from "vitest";
import { type RunConfig, type RunConfigInput, runSchema } from "../config/schema.js";
import { createProgramCritic } from "../feedback/critique/program.js";
import { copyCodec, copyConfig, copyCritique, copyPolicy, copyQuestions, copyRewards } from "../testing/copy-task.js";
import type { TabularPolicy } from "../testing/tabular-policy.js";
import { type TrainOptions, train } from "./train.js";

function config(overrides: Partial<RunConfigInput> = {}): RunConfig {
  return runSchema.parse(copyConfig(overrides));
}

function options(policy: TabularPolicy, overrides: Partial<TrainOptions> = {}): TrainOptions {
  return {
    config: config(),
    policy,
    codec: copyCodec,
    questions: copyQuestions,
    rewards: copyRewards,
    critic: createProgramCritic(copyCritique),
    ...overrides,
  };
}

describe("train", () => {
  it("learns what only critiques can tell", async () => {
    const policy = copyPolicy();
    const { metrics } = await train(options(policy, { config: config({ steps: 60, questionsPerStep: 8 }) }));
    expect(metrics!.initial_accuracy).toBeGreaterThan(0.5);
  });
});
