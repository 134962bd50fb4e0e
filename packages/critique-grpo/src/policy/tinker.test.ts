import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Fault, FaultProxy, type TestServer, type TestServerOptions } from "@critique-grpo/tinker/testing";
import { afterAll, describe, expect, it, vi } from "vitest";
import { type RunConfigInput, runSchema } from "../config/schema.js";
import { createProgramCritic } from "../feedback/critique/program.js";
import type { TrainingGroup } from "../rollout/records.js";
import { Stopwatch } from "../rollout/stopwatch.js";
import type { RunEvent } from "../run/events.js";
import { readMetrics } from "../run/readers.js";
import { sft } from "../sft/sft.js";
import { copyCodec, copyConfig, copyCritique, copyQuestions } from "../testing/copy-task.js";
import {
  openTestPolicy,
  servedLogits,
  startTinkerServer,
  tinkerEngine,
  tinkerOracle,
} from "../testing/tinker-server.js";
import { type TrainOptions, train } from "../trainer/train.js";
import { updatePolicy } from "../trainer/update.js";
import type { Policy, SampleRequest, TokenSequence } from "./policy.js";
import type { TinkerEngineConfig } from "./tinker.js";

const scratch = mkdtempSync(join(tmpdir(), "critique-grpo-tinker-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
const servers: TestServer[] = [];
afterAll(() => Promise.all(servers.map((server) => server.stop())));
let names = 0;
const fresh = () => join(scratch, `run-${names++}`);

async function start(options: TestServerOptions = {}): Promise<TestServer> {
  const server = await startTinkerServer(options);
  servers.push(server);
  return server;
}

/** AdamW that every dialect can do. */
const PLAIN = { learningRate: 0.05, weightDecay: 0, maxGradNorm: 0 };
const SERVER_OPTIMIZER = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, maxGradNorm: 0 };
const NO_ENTROPY = { initialResponses: 3, entropyCoefficient: 0 };
const DIALECTS = ["hosted", "skyrl-jax", "skyrl-train"] as const;

function options(server: TestServer, policy: Policy, overrides: Partial<RunConfigInput>): TrainOptions {
  const input = copyConfig({
    engine: tinkerEngine(server),
    steps: 2,
    sampling: { maxTokens: 3 },
    optimizer: PLAIN,
    algorithm: NO_ENTROPY,
    ...overrides,
  });
  return {
    config: runSchema.parse(input),
    policy,
    codec: copyCodec,
    questions: copyQuestions,
    rewards: [{ name: "digit", score: ({ question, text }) => (text.includes(question.gold) ? 1 : 0) }],
    critic: createProgramCritic(copyCritique),
  };
}

async function withPolicy<T>(
  server: TestServer,
  work: (policy: Policy) => Promise<T>,
  engine: Partial<TinkerEngineConfig> = {},
): Promise<T> {
  const policy = await openTestPolicy(server, { serverOptimizer: SERVER_OPTIMIZER, ...engine }, { reference: true });
  try {
    return await work(policy);
  } finally {
    await policy.close();
  }
}

/** Trains over the server, then the oracle on the very same groups; the largest difference of their logits. */
async function differenceFromOracle(server: TestServer, overrides: Partial<RunConfigInput>): Promise<number> {
  return withPolicy(server, async (policy) => {
    const steps: (readonly TrainingGroup[])[] = [];
    const sink = (event: RunEvent) => {
      if (event.type === "step-finished") steps.push(event.groups);
    };
    const base = options(server, policy, overrides);
    await train({ ...base, sinks: [sink] });
    const oracle = tinkerOracle();
    const before = Float64Array.from(oracle.logits);
    let optimizerSteps = 0;
    for (const groups of steps) {
      const context = { config: base.config, policy: oracle, optimizerSteps, stopwatch: new Stopwatch() };
      optimizerSteps += (await updatePolicy(groups, context)).optimizerSteps;
    }
    expect(maxDifference(oracle.logits, before)).toBeGreaterThan(0.05);
    return maxDifference(servedLogits(server), oracle.logits);
  });
}

const maxDifference = (a: Float64Array, b: Float64Array) => Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));

const request = (overrides: Partial<SampleRequest> = {}): SampleRequest => ({
  ...{ prompt: [1, 2], count: 2, seed: 7, temperature: 1, topK: 0, topP: 1, maxTokens: 4, stopTokens: [18] },
  ...overrides,
});

async function draw(policy: Policy, requests: readonly SampleRequest[]) {
  const drawn = [];
  for await (const sequence of policy.sample(requests)) drawn.push(sequence);
  return drawn.sort((a, b) => a.requestIndex - b.requestIndex || a.sampleIndex - b.sampleIndex);
}

describe.each(DIALECTS)("training on %s", (dialect) => {
  it("gives the weights that exact gradients give, with refinements", async () => {
    const server = await start({ dialect });
    expect(await differenceFromOracle(server, {})).toBeLessThan(1e-5);
  });

  it("… with clipping", async () => {
    const algorithm = { ...NO_ENTROPY, clip: { low: 0.01, high: 0.02 } };
    expect(await differenceFromOracle(await start({ dialect }), { algorithm })).toBeLessThan(1e-5);
  });

  it("… with a correction of the sampler", async () => {
    const algorithm = { ...NO_ENTROPY, clip: { low: 0.2, high: 0.2 }, samplerCorrection: { cap: 1.5 } };
    expect(await differenceFromOracle(await start({ dialect }), { algorithm })).toBeLessThan(1e-5);
  });

  it("… with a KL term and a dual clip", async () => {
    const algorithm = { ...NO_ENTROPY, klCoefficient: 0.3, clip: { low: 0.2, high: 0.2, dual: 3 } };
    expect(await differenceFromOracle(await start({ dialect }), { algorithm })).toBeLessThan(1e-5);
  });

  it("continues an interrupted run to the same weights and rewards", async () => {
    const overrides = { steps: 3, checkpoint: { every: 1 } };
    const whole = fresh();
    const server = await start({ dialect });
    const expected = await withPolicy(server, async (policy) => {
      await train({ ...options(server, policy, overrides), runDirectory: whole });
      return servedLogits(server);
    });
    const broken = fresh();
    const other = await start({ dialect });
    const abort = new AbortController();
    const sink = (event: RunEvent) => {
      if (event.type === "phase" && event.phase === "refine" && event.step === 2) abort.abort();
    };
    const stop = { runDirectory: broken, sinks: [sink], signal: abort.signal };
    // The configuration is the same run's, so it names the same server; the policy decides where it runs.
    const stopped = await withPolicy(other, (policy) => train({ ...options(server, policy, overrides), ...stop }));
    expect(stopped).toMatchObject({ interrupted: true, step: 2 });
    const resumed = await withPolicy(other, async (policy) => {
      await train({ ...options(server, policy, overrides), runDirectory: broken, resume: true });
      return servedLogits(other);
    });
    expect(maxDifference(resumed, expected)).toBe(0);
    const weights = (directory: string) => readFileSync(join(directory, "model", "adapter_model.safetensors"));
    expect(weights(broken).equals(weights(whole))).toBe(true);
    const provenance = JSON.parse(readFileSync(join(whole, "model", "tinker.json"), "utf8"));
    expect(provenance).toMatchObject({ kind: "lora-adapter", baseModel: "bigram", loraRank: 8, version: 6 });
    const rewards = async (directory: string) =>
      (await readMetrics(directory)).map((record) => record["reward/group_mean"]);
    expect(await rewards(broken)).toEqual(await rewards(whole));
  });
});

describe("the Tinker policy", () => {
  it("starts every step with a ratio of 1 and refreshes the sampler with every step", async () => {
    const server = await start();
    const metrics: Readonly<Record<string, number>>[] = [];
    const sink = (event: RunEvent) => {
      if (event.type === "step-finished") metrics.push(event.metrics);
    };
    await withPolicy(server, (policy) => train({ ...options(server, policy, {}), sinks: [sink] }));
    for (const record of metrics) {
      expect(record["sampling/logp_difference_max"]).toBeLessThan(1e-5);
      expect(record.grad_norm).toBeGreaterThan(0);
      expect(record.entropy).toBeGreaterThan(0);
    }
    const saves = server.requests.filter((route) => route.endsWith("save_weights_for_sampler"));
    expect(saves).toHaveLength(2);
  });

  it("takes one pass where the server computes the loss, and two otherwise", async () => {
    const server = await start();
    const count = (route: string) => server.requests.filter((other) => other === `POST ${route}`).length;
    const withoutRefinements = { refinement: { count: 0 }, critique: { type: "none" } } as const;
    const grpo = await withPolicy(server, (policy) =>
      train(options(server, policy, { steps: 1, ...withoutRefinements })),
    );
    // 2 mini-batches of 2 questions with 3 responses of up to 3 tokens after a prompt of one.
    expect(server.engine.stepsApplied).toBe(2);
    expect(count("forward_backward")).toBe(2);
    expect(grpo.metrics!["tokens/in_training"]).toBe(grpo.metrics!["tokens/trained"]! + 12);
    await withPolicy(server, (policy) => train(options(server, policy, { steps: 1 })));
    // Of each mini-batch: forward and linear pass of the refinements, one pass of the others.
    expect(count("forward_backward")).toBe(2 + 6);
  });

  it("deletes the sampler files of earlier steps where the server keeps them", async () => {
    const server = await start({ dialect: "skyrl-jax" });
    await withPolicy(server, async (policy) => {
      await train(options(server, policy, {}));
      const files = () => [...server.engine.checkpoints.values()].map(({ name }) => name);
      await vi.waitFor(() => expect(files()).toHaveLength(1));
      expect(server.requests.filter((route) => route.startsWith("DELETE"))).toHaveLength(1);
    });
  });

  it("trains to the same weights through a bad connection: no step twice, none lost", async () => {
    const clean = await start();
    const expected = await withPolicy(clean, async (policy) => {
      await train(options(clean, policy, {}));
      return servedLogits(clean);
    });
    const server = await start();
    const faults: Fault[] = [
      { kind: "drop-before" },
      { kind: "drop-after" },
      { kind: "duplicate" },
      { kind: "status", status: 503, after: true },
      { kind: "truncate" },
    ];
    // Every third request of a route, first attempts and repetitions alike.
    const choose = (route: string, n: number) => (route !== "/" && n % 3 === 1 ? faults[(n >> 1) % 5] : undefined);
    const proxy = await new FaultProxy(() => server.url, choose).start();
    try {
      const policy = await openTestPolicy(server, { baseUrl: proxy.url });
      await train(options(server, policy, {}));
      expect(maxDifference(servedLogits(server), expected)).toBe(0);
      await policy.close();
    } finally {
      await proxy.stop();
    }
    expect(server.engine.stepsApplied).toBe(4);
    expect(new Set(proxy.log.map((line) => line.split(": ")[1])).size).toBeGreaterThan(3);
    expect(proxy.log.some((line) => line.startsWith("optim_step"))).toBe(true);
  });

  it("samples the same for the same seed, and numbers the weights", async () => {
    const server = await start();
    await withPolicy(server, async (policy) => {
      const first = await draw(policy, [request(), request({ seed: 8 })]);
      expect(first.map(({ requestIndex, sampleIndex }) => [requestIndex, sampleIndex])).toEqual([
        [0, 0],
        [0, 1],
        [1, 0],
        [1, 1],
      ]);
      expect(await draw(policy, [request(), request({ seed: 8 })])).toEqual(first);
      const sequences = first.map(({ tokens }) => ({ prompt: [1, 2], response: tokens }));
      const logprobs = await policy.logprobs(sequences);
      for (const [i, { logprobs: sampled }] of first.entries()) {
        for (const [t, value] of sampled.entries()) expect(logprobs[i]!.logprobs[t]).toBeCloseTo(value, 5);
      }
      const push = ({ response }: TokenSequence) => ({
        loss: 0,
        logprobGradient: new Float32Array(response.length).fill(1),
      });
      await policy.forwardBackward(sequences, push);
      await policy.optimizerStep({ ...SERVER_OPTIMIZER, learningRate: 1 });
      const after = await draw(policy, [request()]);
      expect(after.map(({ policyVersion }) => policyVersion)).toEqual([1, 1]);
      expect(await policy.referenceLogprobs(sequences)).toEqual(logprobs);
    });
  });

  it("queues gradient, step, sampler weights and the next gradient before the first result is there", async () => {
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let holding = false;
    const server = await start({ hold: () => (holding ? held : Promise.resolve()) });
    await withPolicy(server, async (policy) => {
      const sequence = { prompt: [1], response: [2] };
      const push = () => ({ loss: 0, logprobGradient: Float32Array.of(1) });
      await policy.forwardBackward([sequence], push);
      holding = true;
      let done = false;
      const step = policy.optimizerStep({ ...SERVER_OPTIMIZER, learningRate: 1 }, { samplingNext: true });
      const next = policy.forwardBackward([sequence], push);
      void step.then(() => {
        done = true;
      });
      const training = () => server.requests.filter((route) => /forward|optim|save/.test(route));
      await vi.waitFor(() => expect(training()).toHaveLength(5));
      expect(training().map((route) => route.replace("POST ", ""))).toEqual([
        "forward_backward",
        "forward_backward",
        "optim_step",
        "save_weights_for_sampler",
        "forward_backward",
      ]);
      expect(done).toBe(false);
      holding = false;
      release();
      await Promise.all([step, next]);
      for (const { policyVersion } of await draw(policy, [request()])) expect(policyVersion).toBe(1);
      expect(training().filter((route) => route.includes("save"))).toHaveLength(1);
      await policy.optimizerStep({ ...SERVER_OPTIMIZER, learningRate: 1 });
    });
  });

  it("ends sampling when it is aborted", async () => {
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let holding = false;
    const server = await start({ hold: () => (holding ? held : Promise.resolve()) });
    await withPolicy(server, async (policy) => {
      await draw(policy, [request()]);
      holding = true;
      const abort = new AbortController();
      const drawing = (async () => {
        for await (const _ of policy.sample([request()], { signal: abort.signal })) throw new Error("not expected");
      })();
      setTimeout(() => abort.abort(), 20);
      await expect(drawing).rejects.toThrow(/abort/i);
      holding = false;
      release();
    });
  });

  it("skips the optimizer step of a gradient that is not finite, without sending either", async () => {
    const server = await start();
    await withPolicy(server, async (policy) => {
      const sequence = { prompt: [1], response: [2, 3] };
      const broken = () => ({ loss: 0, logprobGradient: Float32Array.of(Number.NaN, 0) });
      const result = await policy.forwardBackward([sequence], broken);
      expect(result.sequences[0]!.current.logprobs).toHaveLength(2);
      expect(await policy.optimizerStep({ ...SERVER_OPTIMIZER, learningRate: 1 })).toEqual({
        gradNorm: Number.NaN,
        skipped: true,
      });
      expect(server.engine.stepsApplied).toBe(0);
      await policy.forwardBackward([sequence], () => ({ loss: 0, logprobGradient: Float32Array.of(1, 1) }));
      expect(await policy.optimizerStep({ ...SERVER_OPTIMIZER, learningRate: 1 })).toMatchObject({ skipped: false });
    });
  });

  it("learns from supervised pairs in one pass a step", async () => {
    const server = await start({ dialect: "skyrl-jax" });
    const pairs = copyQuestions.map(({ text, gold }) => ({
      prompt: copyCodec.encode(text),
      response: copyCodec.encode(`${gold}$`),
    }));
    const optimizer = runSchema.shape.optimizer.parse({ ...PLAIN, learningRate: 0.2 });
    const config = { seed: 0, steps: 40, batchSize: 8, optimizer, checkpoint: { every: 0, keep: 1 } };
    const { metrics } = await withPolicy(server, (policy) => sft({ config, policy, pairs }));
    expect(metrics!.loss).toBeLessThan(0.2);
    expect(server.requests.filter((route) => route === "POST forward")).toHaveLength(1);
  });
});

describe("the Tinker policy refuses", () => {
  it("an entropy bonus, unless it is to be estimated", async () => {
    const server = await start();
    const algorithm = { initialResponses: 3, entropyCoefficient: 0.01 };
    await withPolicy(server, async (policy) => {
      await expect(train(options(server, policy, { algorithm }))).rejects.toThrow("engine.entropy to estimate");
    });
    const estimated = { engine: tinkerEngine(server, { entropy: "estimate" }), algorithm, steps: 1 };
    await withPolicy(server, (policy) => train(options(server, policy, estimated)), { entropy: "estimate" });
  });

  it("optimizer settings that the server would ignore", async () => {
    for (const [dialect, optimizer, reason] of [
      ["skyrl-jax", { ...PLAIN, maxGradNorm: 1 }, "maxGradNorm is 1, the server uses 0"],
      ["skyrl-train", { ...PLAIN, beta2: 0.95 }, "beta2 is 0.95, the server uses 0.999"],
    ] as const) {
      const server = await start({ dialect });
      await withPolicy(server, async (policy) => {
        await expect(train(options(server, policy, { optimizer }))).rejects.toThrow(reason);
      });
      expect(server.requests).not.toContain("POST save_weights_for_sampler");
    }
  });

  it("another temperature than 1 in training", async () => {
    const server = await start();
    await withPolicy(server, async (policy) => {
      const sequence = { prompt: [1], response: [2] };
      await expect(policy.logprobs([sequence], { temperature: 0.5 })).rejects.toThrow("temperature 1, not 0.5");
    });
  });

  it("a model that the server does not have", async () => {
    const server = await start();
    await expect(openTestPolicy(server, { baseModel: "bigran" })).rejects.toThrow(/does not serve.*bigram/);
  });

  it("a checkpoint of another model, of the embedded engine, or one that is gone", async () => {
    const server = await start();
    const directory = mkdtempSync(join(scratch, "state-"));
    await withPolicy(server, (policy) => policy.saveState(directory));
    const load = (engine: Partial<TinkerEngineConfig> = {}) =>
      withPolicy(server, (policy) => policy.loadState(directory), engine);
    await load();
    await expect(load({ loraRank: 16 })).rejects.toThrow("rank 8, the configuration names bigram with rank 16");
    server.engine.checkpoints.clear();
    await expect(load()).rejects.toThrow("is not on");
    writeFileSync(join(directory, "policy.json"), '{"version":3}\n');
    await expect(load()).rejects.toThrow("not of the Tinker engine");
  });

  it("to put a secret into a checkpoint", async () => {
    const server = await start({ apiKey: "tml-secret" });
    const directory = mkdtempSync(join(scratch, "state-"));
    const policy = await openTestPolicy(server, {}, { client: { apiKey: "tml-secret" } });
    await policy.saveState(directory);
    await policy.close();
    expect(readFileSync(join(directory, "policy.json"), "utf8")).not.toContain("secret");
  });
});

describe("a used Tinker policy", () => {
  it("loads a state into a new model", async () => {
    const server = await start();
    const directory = mkdtempSync(join(scratch, "state-"));
    await withPolicy(server, async (policy) => {
      await policy.saveState(directory);
      const before = servedLogits(server);
      await policy.forwardBackward([{ prompt: [1], response: [2] }], () => ({
        loss: 0,
        logprobGradient: Float32Array.of(1),
      }));
      await policy.optimizerStep({ ...SERVER_OPTIMIZER, learningRate: 1 });
      expect(maxDifference(servedLogits(server), before)).toBeGreaterThan(0.5);
      await policy.loadState(directory);
      expect(maxDifference(servedLogits(server), before)).toBe(0);
      for (const { policyVersion } of await draw(policy, [request()])) expect(policyVersion).toBe(0);
      expect(server.engine.models.size).toBe(1);
    });
  });
});
