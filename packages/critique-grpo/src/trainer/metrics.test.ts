import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type PresetName, presets } from "../config/presets.js";
import { type RunConfigInput, runSchema } from "../config/schema.js";
import { sftSchema } from "../config/sft-schema.js";
import { createProgramCritic } from "../feedback/critique/program.js";
import { createScorer } from "../feedback/reward/reward.js";
import type { Critique, InitialResponse, Refinement, TrainingGroup } from "../rollout/records.js";
import { Stopwatch } from "../rollout/stopwatch.js";
import { sft } from "../sft/sft.js";
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
    questions: copyQuestions.map((question) => ({ ...question, solution: question.gold })),
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
    const refined = ["Always", "With critiques", "With refinements"];
    expect(await emittedKeys(withoutRefinements)).toEqual(keys("Always"));
    expect(await emittedKeys({})).toEqual(keys(...refined));
    expect(await emittedKeys(kl)).toEqual(keys(...refined, "With a KL term"));
    expect(await emittedKeys({ critique: { type: "self" } })).toEqual(keys(...refined, "With a language-model critic"));
    expect(await emittedKeys({ critique: { type: "teacher", model: "unused" } })).toEqual(
      keys(...refined, "With a language-model critic", "With a teacher"),
    );
    const offPolicy = { maxGradientShare: 0.1, importanceCap: 2, annealing: { steps: 3 } };
    expect(await emittedKeys({ algorithm: { initialResponses: 3, offPolicy } })).toEqual(
      keys(...refined, "With guards"),
    );
    expect(await emittedKeys({ algorithm: { initialResponses: 3, samplerCorrection: {} } })).toEqual(
      keys(...refined, "With a correction of the sampler"),
    );
    const expert = { ...withoutRefinements, group: { expert: true } };
    expect(await emittedKeys(expert)).toEqual(keys("Always", "With expert solutions"));
    const criticised = {
      refinement: { count: 0 },
      group: { initial: "none", critiques: true },
      algorithm: { objective: "supervised", initialResponses: 2 },
    } as const;
    expect(await emittedKeys(criticised)).toEqual(keys("Always", "With critiques", "With a supervised objective"));
  });

  it.each(Object.keys(presets) as PresetName[])("of the preset %s are all defined", async (name) => {
    const { critique, ...rest } = presets[name] as Partial<RunConfigInput>;
    // Any other critic than none is the test's own.
    const preset = critique?.type === "none" ? { ...rest, critique } : rest;
    const defined = new Set(Object.values(documentedKeys()).flat());
    const emitted = await emittedKeys(preset);
    expect(emitted.filter((key) => !defined.has(key))).toEqual([]);
  });

  it("of supervised fine-tuning are those that docs/metrics.md lists", async () => {
    const text = readFileSync(new URL("../../../../docs/metrics.md", import.meta.url), "utf8");
    const section = text.split("## Supervised fine-tuning\n")[1]!.split("\n## ")[0]!;
    const { metrics } = await sft({
      config: sftSchema.parse({
        engine: { type: "embedded", model: "m" },
        data: { files: "f" },
        steps: 1,
        batchSize: 1,
      }),
      policy: copyPolicy(),
      pairs: [{ prompt: [0], response: [8] }],
    });
    const listed = [...section.matchAll(/`([\w/]+)`/g)].map((match) => match[1]!).filter((key) => key !== "sft");
    expect(Object.keys(metrics!).sort()).toEqual(listed.sort());
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

describe("metrics of critiques", () => {
  const written = {
    kind: "self",
    text: "no",
    prompt: "?",
    latencyMs: 500,
    tokens: { prompt: 10, completion: 5 },
  } as const;
  const critiques: Critique[] = [
    { ...written, verdict: "wrong", agreement: true, leak: true },
    { ...written, verdict: "right", agreement: false, leak: false, stopReason: "length" },
    { ...written, verdict: null, leak: false, cutFrom: 80 },
    { ...written, kind: "simple_gt", text: "The", failure: "the critic wrote nothing", latencyMs: 1500 },
  ];

  it("count verdicts, leaks, cuts and failures; the policy pays for its own", async () => {
    const self = await example(critiques, { type: "self" });
    expect(self).toMatchObject({
      "critique/count": 4,
      "critique/failures": 1,
      "critique/cut": 1,
      "critique/written": 3,
      "critique/verdict_rate": expect.closeTo(2 / 3),
      "critique/agreement": 0.5,
      "critique/leak_rate": expect.closeTo(1 / 3),
      "critique/clipped_ratio": expect.closeTo(1 / 3),
      "critique/mean_latency": 0.75,
      "critique/tokens_in": 40,
      "critique/tokens_out": 20,
      "tokens/generated": 16 + 20,
      // Two questions, four refinement prompts of one token each, four critique prompts.
      "tokens/in_sampling": 2 + 4 + 40,
    });
    const program = await example(critiques, { type: "program", module: "unused" });
    expect(program).toMatchObject({ "tokens/generated": 16, "tokens/in_sampling": 6 });
  });
});

async function example(critiques: readonly Critique[] = [], critique = copyConfig().critique!) {
  const score = createScorer([{ name: "right", score: ({ text }) => text === "right" }], 0.5);
  const question = copyQuestions[0]!;
  const waiting = [...critiques];
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
    for (const [i, text] of initialTexts.entries()) {
      const next = waiting.shift();
      const criticised = next === undefined ? {} : { critique: next };
      initial.push({ kind: "initial", ...(await response(text, i)), ...criticised });
    }
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
    config: runSchema.parse(copyConfig({ critique })),
    generatedBefore: 100,
    rewardNames: ["right"],
  });
}
