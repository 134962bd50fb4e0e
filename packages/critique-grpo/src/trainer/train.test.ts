import { mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { type RunConfig, type RunConfigInput, runSchema } from "../config/schema.js";
import { createProgramCritic } from "../feedback/critique/program.js";
import type { RunEvent } from "../run/events.js";
import {
  listRolloutSteps,
  listRunCheckpoints,
  readEvaluations,
  readEvents,
  readMetrics,
  readRollouts,
  readStatus,
} from "../run/readers.js";
import { copyCodec, copyConfig, copyCritique, copyPolicy, copyQuestions, copyRewards } from "../testing/copy-task.js";
import { TabularPolicy } from "../testing/tabular-policy.js";
import { type TrainOptions, train } from "./train.js";

const scratch = mkdtempSync(join(tmpdir(), "critique-grpo-train-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
let directories = 0;
const newDirectory = () => join(scratch, `run-${directories++}`);

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

/** Where a run breaks off in the tests of resuming; a real SIGKILL is in resume.test.ts. */
class Killed extends Error {}

interface Kill {
  readonly at?: (event: RunEvent) => boolean;
  readonly in?: (policy: TabularPolicy) => void;
}

async function runUntil(directory: string, kill: Kill, settings: Partial<TrainOptions>): Promise<void> {
  const policy = copyPolicy();
  kill.in?.(policy);
  const sink = (event: RunEvent) => {
    if (event.type !== "run-failed" && kill.at?.(event)) throw new Killed();
  };
  const run = train(options(policy, { ...settings, runDirectory: directory, sinks: [sink] }));
  await expect(run).rejects.toThrow(Killed);
}

/** Breaks a method of the policy at its n-th call (from 1), half way through where it writes a directory. */
function breakAt(method: "forwardBackward" | "saveState" | "exportModel" | "optimizerStep", call: number) {
  return (policy: TabularPolicy) => {
    const original = policy[method].bind(policy) as (...inputs: unknown[]) => Promise<unknown>;
    let calls = 0;
    const broken = async (...inputs: unknown[]) => {
      if (++calls !== call) return original(...inputs);
      if (method === "saveState") await original(...inputs);
      throw new Killed();
    };
    Object.assign(policy, { [method]: broken });
  };
}

describe("train", () => {
  it("learns what only critiques can tell", async () => {
    const long = { steps: 60, questionsPerStep: 8 };
    const { metrics } = await train(options(copyPolicy(), { config: config(long) }));
    const without = { ...long, refinement: { count: 0 }, critique: { type: "none" as const } };
    const { metrics: plain } = await train(options(copyPolicy(), { config: config(without) }));
    expect(metrics!.initial_accuracy).toBeGreaterThan(0.5);
    expect(metrics!.initial_accuracy).toBeGreaterThan(plain!.initial_accuracy!);
  });

  it("is reproducible, and another seed gives another run", async () => {
    const [a, b, c] = [copyPolicy(), copyPolicy(), copyPolicy()];
    await train(options(a));
    await train(options(b));
    await train(options(c, { config: config({ seed: 1 }) }));
    expect(b.logits).toEqual(a.logits);
    expect(c.logits).not.toEqual(a.logits);
  });

  it("is not changed by stopping the refining early, apart from the cost", async () => {
    const [early, all] = [copyPolicy(), copyPolicy()];
    const first = await train(options(early));
    const refinement = { ...copyConfig().refinement, stopWhenFound: false };
    const second = await train(options(all, { config: config({ refinement }) }));
    expect(all.logits).toEqual(early.logits);
    expect(second.metrics!["tokens/generated_total"]).toBeGreaterThan(first.metrics!["tokens/generated_total"]!);
  });

  it("tells the run as a stream of events", async () => {
    const events: RunEvent[] = [];
    const evaluate = async ({ step }: { step: number }) => ({ pass1: step });
    const settings = config({ steps: 3, evaluation: { every: 2, files: "unused" }, checkpoint: { every: 2 } });
    const runDirectory = newDirectory();
    await train(
      options(copyPolicy(), { config: settings, evaluate, runDirectory, sinks: [(e) => void events.push(e)] }),
    );
    expect(events.filter(({ type }) => type !== "phase").map(({ type, step }) => `${type} ${step}`)).toEqual([
      "run-started 0",
      "evaluation 0",
      "step-finished 1",
      "step-finished 2",
      "checkpoint 2",
      "evaluation 2",
      "step-finished 3",
      "evaluation 3",
      "checkpoint 3",
      "run-finished 3",
    ]);
    const phases = new Set(events.map((event) => (event.type === "phase" ? event.phase : "")));
    expect([...phases]).toEqual(
      expect.arrayContaining(["sample", "reward", "critique", "refine", "update", "evaluate", "checkpoint", "export"]),
    );
  });

  it("writes all of it into the run directory, and the trained model", async () => {
    const policy = copyPolicy();
    const runDirectory = newDirectory();
    const evaluate = async () => ({ pass1: 0.5 });
    const { model } = await train(options(policy, { runDirectory, evaluate }));
    const metrics = await readMetrics(runDirectory);
    expect(metrics.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(await listRolloutSteps(runDirectory)).toEqual([1, 2, 3, 4, 5, 6]);
    const [record] = await readRollouts(runDirectory, 6);
    expect(record).toMatchObject({ schemaVersion: 1, step: 6, question: { dataSource: "copy" } });
    expect(record!.initial).toHaveLength(3);
    expect(record!.initial[0]).toMatchObject({ kept: true, stopReason: "length", critique: { kind: "program" } });
    expect(record!.refinements.filter(({ kept }) => kept)).toHaveLength(1);
    expect((await readEvaluations(runDirectory)).map(({ step, pass1 }) => [step, pass1])).toEqual([
      [0, 0.5],
      [6, 0.5],
    ]);
    expect((await readEvents(runDirectory)).at(-1)).toMatchObject({ type: "run-finished", step: 6 });
    expect(await readStatus(runDirectory)).toMatchObject({ state: "finished", step: 6, steps: 6 });
    expect(await listRunCheckpoints(runDirectory)).toEqual([6]);
    expect(JSON.parse(await readFile(join(model!, "model.json"), "utf8"))).toEqual([...policy.logits]);
    expect(policy.logits).not.toEqual(copyPolicy().logits);
  });

  it("goes on where samples fail, and warns once a step", async () => {
    const events: RunEvent[] = [];
    const rewards = [{ name: "odd", score: () => Number.NaN }];
    const { metrics } = await train(
      options(copyPolicy(), { rewards, config: config({ steps: 2 }), sinks: [(e) => void events.push(e)] }),
    );
    expect(metrics!["reward/failures"]).toBe(24);
    const warnings = events.filter((event) => event.type === "warning");
    expect(warnings).toHaveLength(2);
    expect(warnings[0]!.message).toContain('24 responses could not be scored and count as 0; the first: reward "odd"');
  });

  it("notes a run that fails", async () => {
    const runDirectory = newDirectory();
    const policy = copyPolicy();
    policy.forwardBackward = () => Promise.reject(new Error("out of memory"));
    await expect(train(options(policy, { runDirectory }))).rejects.toThrow("out of memory");
    expect(await readStatus(runDirectory)).toMatchObject({ state: "failed", error: "out of memory" });
    expect((await readEvents(runDirectory)).at(-1)).toMatchObject({ type: "run-failed", message: "out of memory" });
  });
});

describe("resuming", () => {
  const settings = {
    config: config({ steps: 7, checkpoint: { every: 2, keep: 2 }, evaluation: { every: 3, files: "unused" } }),
  };
  const evaluate = async ({ policy }: { policy: unknown }) => ({ logits: [...(policy as TabularPolicy).logits] });
  const strip = (records: readonly Record<string, unknown>[]) =>
    records.map((record) =>
      Object.fromEntries(Object.entries(record).filter(([key]) => !/^(time|seconds\/.*)$/.test(key))),
    );

  const kills: [string, Kill][] = [
    ["before the first step", { at: (event) => event.type === "evaluation" }],
    ["in the first update", { in: breakAt("forwardBackward", 1) }],
    ["between the mini-batches of a step", { in: breakAt("forwardBackward", 6) }],
    ["after a step, before its checkpoint", { at: (event) => event.type === "step-finished" && event.step === 4 }],
    ["while a checkpoint is written", { in: breakAt("saveState", 2) }],
    ["right after a checkpoint", { at: (event) => event.type === "checkpoint" && event.step === 4 }],
    ["after an evaluation", { at: (event) => event.type === "evaluation" && event.step === 6 }],
    ["in the last step", { at: (event) => event.type === "step-finished" && event.step === 7 }],
    ["while the model is exported", { in: breakAt("exportModel", 1) }],
  ];

  it.each(kills)("gives the same weights and records after an end %s", async (_, kill) => {
    const [whole, broken] = [newDirectory(), newDirectory()];
    const uninterrupted = copyPolicy();
    await train(options(uninterrupted, { ...settings, evaluate, runDirectory: whole }));
    await runUntil(broken, kill, { ...settings, evaluate });
    const resumed = copyPolicy();
    const result = await train(options(resumed, { ...settings, evaluate, runDirectory: broken, resume: true }));
    expect(result).toMatchObject({ step: 7, interrupted: false });
    expect(resumed.logits).toEqual(uninterrupted.logits);
    expect(strip(await readMetrics(broken))).toEqual(strip(await readMetrics(whole)));
    expect(strip(await readEvaluations(broken))).toEqual(strip(await readEvaluations(whole)));
    for (let step = 1; step <= 7; step++) {
      expect(await readRollouts(broken, step)).toEqual(await readRollouts(whole, step));
    }
    expect(await readStatus(broken)).toMatchObject({ state: "finished" });
  });

  it("ends with a checkpoint when the signal is aborted, and goes on from there", async () => {
    const uninterrupted = copyPolicy();
    await train(options(uninterrupted, settings));
    for (const phase of ["sample", "refine", "update"] as const) {
      const runDirectory = newDirectory();
      const abort = new AbortController();
      const sink = (event: RunEvent) => {
        if (event.type === "phase" && event.phase === phase && event.step === 2) abort.abort();
      };
      const policy = copyPolicy();
      const stopped = await train(options(policy, { ...settings, runDirectory, sinks: [sink], signal: abort.signal }));
      // An update in progress is finished first: its step is whole.
      const steps = phase === "update" ? 3 : 2;
      expect(stopped).toMatchObject({ step: steps, interrupted: true, model: null });
      expect(await readStatus(runDirectory)).toMatchObject({ state: "interrupted", step: steps });
      expect(await listRunCheckpoints(runDirectory)).toContain(steps);
      const resumed = copyPolicy();
      await train(options(resumed, { ...settings, runDirectory, resume: true }));
      expect(resumed.logits).toEqual(uninterrupted.logits);
    }
  });

  it("takes no checkpoint of half an update, even where the signal is aborted", async () => {
    const runDirectory = newDirectory();
    const abort = new AbortController();
    const policy = copyPolicy();
    // The second mini-batch of the third step.
    breakAt("forwardBackward", 6)(policy);
    const sink = (event: RunEvent) => {
      if (event.type === "phase" && event.phase === "update") abort.abort();
    };
    const late = (event: RunEvent) => (event.step === 2 ? sink(event) : undefined);
    const run = train(options(policy, { ...settings, runDirectory, sinks: [late], signal: abort.signal }));
    await expect(run).rejects.toThrow(Killed);
    expect(await readStatus(runDirectory)).toMatchObject({ state: "failed", step: 2 });
    expect(await listRunCheckpoints(runDirectory)).toEqual([2]);
  });

  it("does no training where the run is finished", async () => {
    const runDirectory = newDirectory();
    await train(options(copyPolicy(), { runDirectory }));
    const policy = copyPolicy();
    const again = await train(options(policy, { runDirectory, resume: true }));
    expect(again).toMatchObject({ step: 6, metrics: null });
    expect(policy.requests).toEqual([]);
    expect((await readMetrics(runDirectory)).length).toBe(6);
  });

  it("refuses another configuration, naming what differs, and changes nothing", async () => {
    const runDirectory = newDirectory();
    await train(options(copyPolicy(), { runDirectory }));
    const other = config({ optimizer: { learningRate: 0.06, weightDecay: 0 }, checkpoint: { every: 1 } });
    const resume = train(options(copyPolicy(), { runDirectory, resume: true, config: other }));
    await expect(resume).rejects.toThrow(/another configuration; different: optimizer\.learningRate\./);
    expect((await readMetrics(runDirectory)).length).toBe(6);
  });

  it("makes a finished run longer where the learning rate does not depend on its length", async () => {
    const [whole, runDirectory] = [copyPolicy(), newDirectory()];
    await train(options(whole, { config: config({ steps: 6 }) }));
    await train(options(copyPolicy(), { runDirectory, config: config({ steps: 4 }) }));
    const longer = copyPolicy();
    await train(options(longer, { runDirectory, resume: true, config: config({ steps: 6 }) }));
    expect(longer.logits).toEqual(whole.logits);
    const shorter = train(options(copyPolicy(), { runDirectory, resume: true, config: config({ steps: 5 }) }));
    await expect(shorter).rejects.toThrow("6 steps into the run, which now has only 5");
    const linear = { learningRate: 0.05, weightDecay: 0, schedule: "linear" } as const;
    const decaying = newDirectory();
    await train(options(copyPolicy(), { runDirectory: decaying, config: config({ steps: 4, optimizer: linear }) }));
    const other = config({ steps: 6, optimizer: linear });
    const resume = train(options(copyPolicy(), { runDirectory: decaying, resume: true, config: other }));
    await expect(resume).rejects.toThrow("different: steps.");
  });

  it("refuses to start over a run that is there", async () => {
    const runDirectory = newDirectory();
    await train(options(copyPolicy(), { runDirectory }));
    await expect(train(options(copyPolicy(), { runDirectory }))).rejects.toThrow("already holds a run");
  });
});

describe("checks before any work", () => {
  it.each<[string, Partial<TrainOptions>, string]>([
    ["no questions", { questions: [] }, "The data set has no questions"],
    ["repeated ids", { questions: [copyQuestions[0]!, copyQuestions[0]!] }, 'Two questions have the id "a"'],
    ["prompts that do not fit", { config: config({ sampling: { maxTokens: 64 } }) }, "8 of 8 prompts do not fit"],
    ["greedy training", { config: config({ sampling: { temperature: 0 } }) }, "temperature"],
    [
      "a template without critique",
      { config: config({ refinement: { count: 1, template: "{question}" } }) },
      "lacks {response}",
    ],
    [
      "a warm-up longer than the run",
      { config: config({ optimizer: { warmupSteps: 12 } }) },
      "only 12 optimizer steps",
    ],
    ["no critic", { critic: null }, "train() needs a critic"],
    ["no rewards", { rewards: [] }, "at least one reward"],
    ["resuming nothing", { resume: true }, "resume needs runDirectory"],
  ])("refuses %s", async (_, overrides, message) => {
    const policy = copyPolicy();
    await expect(train(options(policy, overrides))).rejects.toThrow(message);
    expect(policy.requests).toEqual([]);
  });

  it("refuses what the engine cannot do", async () => {
    const policy = (capabilities: object) =>
      new TabularPolicy({ vocabularySize: 19, capabilities: { ...capabilities } });
    await expect(train(options(policy({ exactEntropy: false })))).rejects.toThrow("cannot differentiate the entropy");
    const kl = config({ algorithm: { initialResponses: 3, klCoefficient: 0.1 } });
    await expect(train(options(policy({ reference: false }), { config: kl }))).rejects.toThrow("no frozen reference");
  });
});
