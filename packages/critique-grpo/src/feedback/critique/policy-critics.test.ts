/** Self-critique and weak-to-strong: what is asked of the models, and whole runs on the embedded engine. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RunConfigInput, runSchema } from "../../config/schema.js";
import type { Question } from "../../data/question.js";
import { openPolicy } from "../../policy/open.js";
import type { SampleRequest } from "../../policy/policy.js";
import type { InitialResponse } from "../../rollout/records.js";
import type { RunEvent } from "../../run/events.js";
import { readMetrics, readRollouts } from "../../run/readers.js";
import { copyCodec, copyPolicy, copyQuestions } from "../../testing/copy-task.js";
import { writeServedModel } from "../../testing/serve-fixture.js";
import { loadTextCodec } from "../../text/codec.js";
import { type TrainOptions, train } from "../../trainer/train.js";
import type { Critic } from "./critic.js";
import { createSelfCritic } from "./policy-critics.js";
import { resolveCritic } from "./resolve.js";

const noModules = () => Promise.reject(new Error("no module expected"));

function respond(question: Question, correct: boolean, text = "3") {
  const response: InitialResponse = {
    kind: "initial",
    index: 0,
    samplingPrompt: [1],
    tokens: [2],
    logprobs: Float32Array.of(-1),
    text,
    stopReason: "stop",
    policyVersion: 0,
    reward: { value: correct ? 1 : 0, correct, parts: {} },
  };
  return { question, response, seed: 7 };
}

describe("the self-critic", () => {
  const template = "{question}{response}{gold}";
  const critique = (overrides: object = {}) =>
    runSchema.shape.critique.parse({ type: "self", template, ...overrides }) as Parameters<typeof createSelfCritic>[0];
  const run = (options: Parameters<typeof copyPolicy>[0] = {}) => ({
    policy: copyPolicy(options),
    codec: copyCodec,
    runDirectory: null,
  });

  it("asks the policy, with the paper's settings, about wrong responses only", async () => {
    const critic = createSelfCritic(critique());
    const opened = run();
    await critic.open!(opened);
    const [question] = copyQuestions as [Question];
    const [right, wrong] = await critic.critique([respond(question, true), respond(question, false)]);
    expect(right).toEqual({ kind: "simple_gt", text: "The generated solution is correct, the ground truth is 1." });
    expect(wrong).toMatchObject({ kind: "self", prompt: "a31", verdict: null, leak: expect.any(Boolean) });
    expect(wrong!.tokens!.prompt).toBe(3);
    expect(opened.policy.requests).toEqual<SampleRequest[]>([
      {
        ...{ prompt: copyCodec.encode("a31"), count: 1, seed: 7, temperature: 0.7, topP: 0.75, topK: 0 },
        // The context of 64 tokens ends before the 4096 that may be written.
        ...{ maxTokens: 61, stopTokens: copyCodec.stopTokens },
      },
    ]);
  });

  it("asks about every response if it is told to", async () => {
    const critic = createSelfCritic(critique({ responses: "all" }));
    await critic.open!(run());
    const critiques = await critic.critique([true, false].map((correct) => respond(copyQuestions[0]!, correct)));
    expect(critiques.map(({ kind }) => kind)).toEqual(["self", "self"]);
  });

  it("falls back where its prompt does not fit or cannot be encoded, or where nothing is written", async () => {
    const critic = createSelfCritic(critique());
    await critic.open!(run({ contextLength: 12 }));
    const failures = async (text: string) => (await critic.critique([respond(copyQuestions[0]!, false, text)]))[0]!;
    expect(await failures("3")).toMatchObject({
      kind: "simple_gt",
      failure: "the critic's prompt of 3 tokens leaves no room for a critique: the context holds 12",
    });
    expect((await failures("?")).failure).toContain("cannot be encoded");

    // After "1" this policy says the stop token and nothing else.
    const size = copyPolicy().info.vocabularySize;
    const logits = new Float64Array(size * size);
    logits[copyCodec.encode("1")[0]! * size + copyCodec.stopTokens[0]!] = 50;
    await critic.open!(run({ logits }));
    expect(await failures("3")).toMatchObject({
      kind: "simple_gt",
      failure: "the critic wrote nothing",
      prompt: "a31",
      tokens: { prompt: 3, completion: 1 },
    });
  });

  it("must be opened first", async () => {
    const critic = createSelfCritic(critique());
    await expect(critic.critique([respond(copyQuestions[0]!, false)])).rejects.toThrow("call open()");
  });
});

describe("on the embedded engine", () => {
  const scratch = mkdtempSync(join(tmpdir(), "critique-grpo-critics-"));
  const strong = join(scratch, "strong");
  const weak = join(scratch, "weak");
  let names = 0;
  const fresh = () => join(scratch, `run-${names++}`);
  beforeAll(async () => {
    await mkdir(strong);
    await writeServedModel(strong, 3);
    await mkdir(weak);
    await writeServedModel(weak, 4);
  });
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  const questions: Question[] = ["12", "34", "56"].map((text) => ({
    ...{ id: text, dataSource: "bytes", text, prompt: [{ role: "user" as const, content: text }] },
    ...{ gold: "7", metadata: {} },
  }));

  async function trainWith(
    critique: RunConfigInput["critique"],
    more: Partial<TrainOptions> & { runDirectory: string },
  ): Promise<void> {
    const config = runSchema.parse({
      engine: { type: "embedded", model: strong, threads: 1 },
      data: { files: "unused" },
      ...{ steps: 3, questionsPerStep: 2, miniBatches: 1, sampling: { maxTokens: 6 } },
      reward: { functions: [{ name: "low", module: "unused" }] },
      critique,
      refinement: { count: 1, template: "{question} {response} {critique}" },
      algorithm: { initialResponses: 2 },
      optimizer: { learningRate: 1e-3 },
      checkpoint: { every: 1 },
    } satisfies RunConfigInput);
    const policy = await openPolicy(config.engine);
    const critic: Critic | null = await resolveCritic(config.critique, noModules);
    try {
      const codec = loadTextCodec(strong);
      const rewards = [
        { name: "low", score: ({ tokens }: { tokens: readonly number[] }) => (tokens[0]! < 60 ? 1 : 0) },
      ];
      await train({ config, policy, codec, questions, rewards, critic, ...more });
    } finally {
      await policy.close();
    }
  }

  const written = { template: "{question} {response}?", sampling: { maxTokens: 20 } };

  it.each([
    ["self", { type: "self" as const, ...written }],
    ["checkpoint", { type: "checkpoint" as const, model: weak, threads: 1, ...written }],
  ])("%s: a whole run, and one that was stopped and resumed, to the same bits", async (kind, critique) => {
    const whole = fresh();
    await trainWith(critique, { runDirectory: whole });
    const records = await readRollouts(whole, 1);
    const asked = records.flatMap(({ initial }) => initial.flatMap(({ critique: c }) => (c?.prompt ? [c] : [])));
    expect(asked.length).toBeGreaterThan(0);
    for (const { kind: by, failure, prompt, tokens } of asked) {
      expect(failure === undefined ? by : "fallback").toMatch(new RegExp(`${kind}|fallback`));
      expect(prompt).toMatch(/^(12|34|56) .*\?$/s);
      expect(tokens!.completion).toBeLessThanOrEqual(20);
    }
    const [metrics] = await readMetrics(whole);
    expect(metrics!["critique/written"]).toBe(asked.filter(({ failure }) => failure === undefined).length);
    expect(metrics!["critique/tokens_out"]).toBeGreaterThan(0);

    const broken = fresh();
    const abort = new AbortController();
    const sink = (event: RunEvent) => {
      if (event.type === "phase" && event.phase === "critique" && event.step === 1) abort.abort();
    };
    await trainWith(critique, { runDirectory: broken, sinks: [sink], signal: abort.signal });
    await trainWith(critique, { runDirectory: broken, resume: true });
    const texts = async (directory: string) =>
      (await readRollouts(directory, 3)).map(({ initial }) => initial.map(({ critique: c }) => c?.text));
    expect(await texts(broken)).toEqual(await texts(whole));
    const weights = (directory: string) => readFileSync(join(directory, "model", "model.safetensors"));
    expect(weights(broken).equals(weights(whole))).toBe(true);
  });

  it("weak and strong critics write differently", async () => {
    const texts = async (model: string) => {
      const critic = await resolveCritic(
        runSchema.shape.critique.parse({ type: "checkpoint", model, threads: 1, ...written }),
        noModules,
      );
      await critic!.open!({ policy: copyPolicy(), codec: copyCodec, runDirectory: null });
      const critiques = await critic!.critique([respond(questions[0]!, false)]);
      await critic!.close!();
      return critiques[0]!.text;
    };
    expect(await texts(weak)).toBe(await texts(weak));
    expect(await texts(weak)).not.toBe(await texts(strong));
  });
});
