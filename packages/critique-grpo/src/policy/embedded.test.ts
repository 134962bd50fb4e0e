import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { type RunConfigInput, runSchema } from "../config/schema.js";
import { createProgramCritic } from "../feedback/critique/program.js";
import type { RunEvent } from "../run/events.js";
import { readMetrics } from "../run/readers.js";
import { sft } from "../sft/sft.js";
import { copyCodec, copyConfig, copyCritique, copyQuestions } from "../testing/copy-task.js";
import { tinyEngine } from "../testing/tiny-model.js";
import { type TrainOptions, train } from "../trainer/train.js";
import type { EmbeddedEngineConfig } from "./embedded.js";
import { readModelLimits } from "./model-limits.js";
import { openPolicy } from "./open.js";
import type { Policy } from "./policy.js";

const scratch = mkdtempSync(join(tmpdir(), "critique-grpo-embedded-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
let names = 0;
const fresh = () => join(scratch, `run-${names++}`);

async function withPolicy<T>(
  work: (policy: Policy) => Promise<T>,
  overrides: Partial<EmbeddedEngineConfig> = {},
  reference = false,
): Promise<T> {
  const policy = await openPolicy(await tinyEngine(scratch, overrides), { reference });
  try {
    return await work(policy);
  } finally {
    await policy.close();
  }
}

function options(policy: Policy, overrides: Partial<RunConfigInput>, more: Partial<TrainOptions> = {}): TrainOptions {
  return {
    config: runSchema.parse(
      copyConfig({ steps: 3, sampling: { maxTokens: 4 }, optimizer: { learningRate: 0.01 }, ...overrides }),
    ),
    policy,
    codec: copyCodec,
    questions: copyQuestions,
    rewards: [{ name: "starts-with-digit", score: ({ question, text }) => (text.startsWith(question.gold) ? 1 : 0) }],
    critic: createProgramCritic(copyCritique),
    ...more,
  };
}

/** The exported weights, byte for byte. */
const weights = (directory: string) => readFileSync(join(directory, "model", "model.safetensors"));

const kinds: readonly [string, Partial<EmbeddedEngineConfig>][] = [
  ["full fine-tuning", {}],
  ["adapters", { lora: { rank: 4, alpha: 8, targets: "all-linear", seed: 1 } }],
];

describe.each(kinds)("the embedded policy with %s", (_, engine) => {
  it("starts every step with a ratio of 1: sampler and trainer agree on the logprobs", async () => {
    const runDirectory = fresh();
    await withPolicy(
      (policy) => train(options(policy, { sampling: { maxTokens: 4, temperature: 0.8 } }, { runDirectory })),
      engine,
    );
    for (const record of await readMetrics(runDirectory)) {
      expect(record["sampling/logp_difference_max"]).toBeLessThan(1e-4);
      expect(record.grad_norm).toBeGreaterThan(0);
      expect(record.entropy).toBeGreaterThan(0);
    }
  });

  it("continues an interrupted run to bit-identical weights, KL reference included", async () => {
    const overrides = {
      steps: 4,
      checkpoint: { every: 1 },
      algorithm: { initialResponses: 3, klCoefficient: 0.05 },
    };
    const whole = fresh();
    await withPolicy((policy) => train(options(policy, overrides, { runDirectory: whole })), engine, true);

    const broken = fresh();
    const abort = new AbortController();
    const sink = (event: RunEvent) => {
      if (event.type === "phase" && event.phase === "refine" && event.step === 2) abort.abort();
    };
    const stop = { runDirectory: broken, sinks: [sink], signal: abort.signal };
    const stopped = await withPolicy((policy) => train(options(policy, overrides, stop)), engine, true);
    expect(stopped).toMatchObject({ interrupted: true, step: 2 });
    const resume = { runDirectory: broken, resume: true };
    await withPolicy((policy) => train(options(policy, overrides, resume)), engine, true);
    expect(weights(broken).equals(weights(whole))).toBe(true);
    const kl = (await readMetrics(broken)).map((record) => record.kl);
    expect(kl[0]).toBeLessThan(0.01);
    expect(kl[3]).toBeGreaterThan(kl[0] as number);
  });

  it("exports what was trained: reloaded weights differ from the first ones and give the same logprobs", async () => {
    const runDirectory = fresh();
    const sequence = { prompt: copyCodec.encode("a"), response: copyCodec.encode("12$") };
    const before = await withPolicy((policy) => policy.logprobs([sequence]), engine);
    const after = await withPolicy(async (policy) => {
      await train(options(policy, {}, { runDirectory }));
      return policy.logprobs([sequence]);
    }, engine);
    const reloaded = await withPolicy((policy) => policy.logprobs([sequence]), { model: join(runDirectory, "model") });
    for (const [t, logprob] of after[0]!.logprobs.entries()) expect(reloaded[0]!.logprobs[t]).toBeCloseTo(logprob, 5);
    expect(after[0]!.logprobs).not.toEqual(before[0]!.logprobs);
  });
});

describe("the embedded policy", () => {
  it("trains the same whatever the micro-batches are", async () => {
    const norms = async (microBatchTokens: number) => {
      const runDirectory = fresh();
      await withPolicy((policy) => train(options(policy, { steps: 1 }, { runDirectory })), { microBatchTokens });
      return (await readMetrics(runDirectory)).map(
        (record) => [record.grad_norm, record.loss, record.entropy] as number[],
      );
    };
    const [whole, split] = [await norms(8192), await norms(12)];
    for (const [i, values] of whole.entries()) {
      for (const [j, value] of values.entries()) expect(split[i]![j]).toBeCloseTo(value, 5);
    }
  });

  it("goes on from the adapters that a run exported beside its merged model", async () => {
    const [base, runDirectory] = [fresh(), fresh()];
    await withPolicy((policy) => policy.exportModel(base));
    const sequence = { prompt: copyCodec.encode("a"), response: copyCodec.encode("12$") };
    const lora = { rank: 4, alpha: 8, targets: ["q_proj" as const, "down_proj" as const], seed: 1 };
    const trained = await withPolicy(
      async (policy) => {
        await train(options(policy, {}, { runDirectory }));
        return policy.logprobs([sequence]);
      },
      { model: base, lora },
    );
    const adapter = join(runDirectory, "model", "adapter");
    expect(readModelLimits({ type: "embedded", model: adapter }).contextLength).toBe(64);
    await withPolicy(
      async (policy) => {
        expect(await policy.logprobs([sequence])).toEqual(trained);
        await train(options(policy, { steps: 1 }));
        expect(await policy.logprobs([sequence])).not.toEqual(trained);
      },
      { model: adapter },
    );
  });

  it("learns from supervised pairs", async () => {
    const pairs = copyQuestions.map(({ text, gold }) => ({
      prompt: copyCodec.encode(text),
      response: copyCodec.encode(`${gold}$`),
    }));
    const config = {
      seed: 0,
      steps: 60,
      batchSize: 8,
      optimizer: runSchema.shape.optimizer.parse({ learningRate: 0.01 }),
      checkpoint: { every: 0, keep: 1 },
    };
    const { metrics } = await withPolicy((policy) => sft({ config, policy, pairs }));
    expect(metrics!.loss).toBeLessThan(0.2);
  });

  it("keeps the version of the weights through a checkpoint, and the reference at the start", async () => {
    const directory = fresh();
    await mkdir(directory);
    const sequence = { prompt: copyCodec.encode("a"), response: copyCodec.encode("1") };
    await withPolicy(
      async (policy) => {
        const start = await policy.logprobs([sequence]);
        await train(options(policy, { steps: 1 }));
        expect(await policy.referenceLogprobs([sequence])).toEqual(start);
        await policy.saveState(directory);
      },
      {},
      true,
    );
    await withPolicy(async (policy) => {
      await policy.loadState(directory);
      const request = {
        prompt: [0],
        count: 1,
        seed: 1,
        temperature: 1,
        topK: 0,
        topP: 1,
        maxTokens: 1,
        stopTokens: [],
      };
      for await (const sample of policy.sample([request])) expect(sample.policyVersion).toBe(2);
      await expect(policy.referenceLogprobs([sequence])).rejects.toThrow("open it with `reference: true`");
    });
  });
});

describe.each(kinds)("int8 rollouts with %s", (_, engine) => {
  const int8 = { ...engine, rolloutPrecision: "int8" } as const;
  const corrected = { algorithm: { initialResponses: 3, samplerCorrection: {} } };

  it("are drawn from another policy than the trained one, near it, and the correction knows how far", async () => {
    const runDirectory = fresh();
    await withPolicy((policy) => train(options(policy, corrected, { runDirectory })), int8);
    for (const record of (await readMetrics(runDirectory)) as Record<string, number>[]) {
      expect(record["sampling/logp_difference"]).toBeGreaterThan(1e-5);
      expect(record["sampling/logp_difference_max"]).toBeLessThan(0.2);
      expect(record["sampling/importance_weight"]).toBeCloseTo(1, 1);
      expect(record["sampling/importance_weight"]).not.toBe(1);
      expect(record["sampling/kl"]).toBeGreaterThan(0);
      expect(record["sampling/kl"]).toBeLessThan(0.01);
      expect(record["sampling/importance_capped"]).toBe(0);
      expect(record.grad_norm).toBeGreaterThan(0);
    }
  });

  it("continue an interrupted run to bit-identical weights", async () => {
    const overrides = { ...corrected, steps: 4, checkpoint: { every: 1 } };
    const whole = fresh();
    await withPolicy((policy) => train(options(policy, overrides, { runDirectory: whole })), int8);
    const broken = fresh();
    const abort = new AbortController();
    const sink = (event: RunEvent) => {
      if (event.type === "phase" && event.phase === "refine" && event.step === 2) abort.abort();
    };
    const stop = { runDirectory: broken, sinks: [sink], signal: abort.signal };
    await withPolicy((policy) => train(options(policy, overrides, stop)), int8);
    await withPolicy((policy) => train(options(policy, overrides, { runDirectory: broken, resume: true })), int8);
    expect(weights(broken).equals(weights(whole))).toBe(true);
  });

  it("are asked for: whatever else is sampled is in float32", async () => {
    const request = {
      ...{ prompt: copyCodec.encode("a"), count: 4, maxTokens: 8, temperature: 1, topK: 0, topP: 1, seed: 5 },
      stopTokens: [],
    };
    const logprobs = async (policy: Policy, more: { rollout?: boolean }) => {
      const drawn = new Map<number, Float32Array>();
      for await (const sequence of policy.sample([request], more)) drawn.set(sequence.sampleIndex, sequence.logprobs);
      return [...drawn].sort(([a], [b]) => a - b);
    };
    const exact = await withPolicy((policy) => logprobs(policy, { rollout: true }), engine);
    await withPolicy(async (policy) => {
      expect(await logprobs(policy, { rollout: true })).not.toEqual(exact);
      expect(await logprobs(policy, {})).toEqual(exact);
    }, int8);
  });
});
