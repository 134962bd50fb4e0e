import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type RunConfigInput, runSchema } from "../config/schema.js";
import { createProgramCritic } from "../feedback/critique/program.js";
import { createScorer } from "../feedback/reward/reward.js";
import type { InitialResponse, Refinement, TrainingGroup } from "../rollout/records.js";
import { Stopwatch } from "../rollout/stopwatch.js";
import { copyCodec, copyConfig, copyCritique, copyPolicy, copyQuestions, copyRewards } from "../testing/copy-task.js";
import { stepMetrics } from "./metrics.js";
import { train } from "./train.js";
import { UpdateStatistics } from "./update-statistics.js";

/** Keys in the tables below each heading of docs/metrics.md. */
function documentedKeys(): Record<string, string[]> {
  const text = readFileSync(new URL("../../../../docs/metrics.md", import.meta.url), "utf8");
  const sections = text.split(/^## /m).slice(1);
  return Object.fromEntries(
    sections.map((section) => [
      section.split("\n")[0]!.replace(/ \(.*/, ""),
      [...section.matchAll(/^\| `([^`]+)` \|/gm)].map((match) => match[1]!),
    ]),
  );
}

async function emittedKeys(overrides: Partial<RunConfigInput>): Promise<string[]> {
  const { metrics } = await train({
    config: runSchema.parse(copyConfig({ steps: 1, ...overrides })),
    policy: copyPolicy(),
    codec: copyCodec,
    questions: copyQuestions,
    rewards: copyRewards,
    critic: createProgramCritic(copyCritique),
  });
  return Object.keys(metrics!)
    .map((key) => key.replace(/^rewards\/digit\//, "rewards/<name>/"))
    .sort();
}

const withoutRefinements = { refinement: { count: 0 }, critique: { type: "none" } } as const;

describe("step metrics", () => {
  it("are those that docs/metrics.md defines, no more and no fewer", async () => {
    const documented = documentedKeys();
    const keys = (...sections: string[]) => sections.flatMap((section) => documented[section]!).sort();
    const kl = { algorithm: { initialResponses: 3, klCoefficient: 0.1 } };
    expect(await emittedKeys(withoutRefinements)).toEqual(keys("Always"));
    expect(await emittedKeys({})).toEqual(keys("Always", "With refinements"));
    expect(await emittedKeys(kl)).toEqual(keys("Always", "With refinements", "With a KL term"));
  });

  it("count what happened", async () => {
    const metrics = await example();
    expect(metrics).toMatchObject({
      // Initial responses: right, wrong, wrong, wrong.
      reward: 0.25,
      initial_accuracy: 0.25,
      "rewards/right/mean": 0.25,
      // Group 1: 1 0 1, group 2: 0 0 0.
      frac_reward_zero_std: 0.5,
      "reward/group_mean": expect.closeTo(2 / 6),
      reward_std: expect.closeTo(Math.sqrt(1 / 3) / 2),
      "completions/mean_length": 2,
      "completions/clipped_ratio": 0.5,
      // Refined: right → wrong, wrong → right, wrong → wrong, wrong → wrong.
      "refinement/count": 4,
      "refinement/kept": 2,
      "refinement/accuracy": 0.25,
      "refinement/kept_accuracy": 0.5,
      "refinement/fix_rate": expect.closeTo(1 / 3),
      "refinement/break_rate": 1,
      "refinement/frac_groups_without_correct": 0.5,
      "tokens/generated": 16,
      "tokens/generated_total": 116,
    });
  });
});

async function example() {
  const score = createScorer([{ name: "right", score: ({ text }) => text === "right" }], 0.5);
  const question = copyQuestions[0]!;
  const response = async (text: string, index: number) => ({
    index,
    samplingPrompt: [0],
    tokens: [1, 2],
    logprobs: Float32Array.of(-1, -1),
    text,
    stopReason: index === 0 ? ("length" as const) : ("stop" as const),
    policyVersion: 0,
    reward: await score(question, { text, tokens: [1, 2], stopReason: "stop" }),
  });
  const group = async (initialTexts: string[], refinedTexts: string[], kept: number): Promise<TrainingGroup> => {
    const initial: InitialResponse[] = [];
    const refinements: Refinement[] = [];
    for (const [i, text] of initialTexts.entries()) initial.push({ kind: "initial", ...(await response(text, i)) });
    for (const [i, text] of refinedTexts.entries()) {
      refinements.push({ kind: "refinement", refines: i, ...(await response(text, i)) });
    }
    const members = [...initial, refinements[kept]!].map((member) => ({ response: member, advantage: 0 }));
    return { question, prompt: [0], initial, refinements, members };
  };
  return stepMetrics({
    groups: [
      await group(["right", "wrong"], ["wrong", "right"], 1),
      await group(["wrong", "wrong"], ["wrong", "wrong"], 0),
    ],
    update: new UpdateStatistics(),
    stopwatch: new Stopwatch(),
    stepSeconds: 1,
    config: runSchema.parse(copyConfig()),
    generatedBefore: 100,
    rewardNames: ["right"],
  });
}
