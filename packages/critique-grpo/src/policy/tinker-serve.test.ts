/** One run, two ways: the embedded engine in this process, and the same engine behind our own Tinker server. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { engineSchema } from "../config/engine-schema.js";
import { type RunConfig, type RunConfigInput, runSchema } from "../config/schema.js";
import { createProgramCritic } from "../feedback/critique/program.js";
import { readMetrics } from "../run/readers.js";
import { startServer } from "../serve/index.js";
import { copyCodec, copyConfig, copyCritique, copyQuestions } from "../testing/copy-task.js";
import { tinyEngine } from "../testing/tiny-model.js";
import { train } from "../trainer/train.js";
import type { EmbeddedEngineConfig } from "./embedded.js";
import { openPolicy } from "./open.js";
import type { Policy } from "./policy.js";
import { openTinkerPolicy } from "./tinker-open.js";

const scratch = mkdtempSync(join(tmpdir(), "critique-grpo-serve-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const overrides = (klCoefficient: number): Partial<RunConfigInput> => ({
  steps: 5,
  seed: 11,
  sampling: { maxTokens: 4 },
  algorithm: { initialResponses: 3, entropyCoefficient: 0, klCoefficient },
  optimizer: { learningRate: 0.01, weightDecay: 0.01, maxGradNorm: 1 },
});

async function run(policy: Policy, engine: RunConfig["engine"], klCoefficient: number, runDirectory: string) {
  await train({
    config: runSchema.parse(copyConfig({ ...overrides(klCoefficient), engine })),
    policy,
    codec: copyCodec,
    questions: copyQuestions,
    rewards: [{ name: "starts-with-digit", score: ({ question, text }) => (text.startsWith(question.gold) ? 1 : 0) }],
    critic: createProgramCritic(copyCritique),
    runDirectory,
  });
  return { metrics: await readMetrics(runDirectory), weights: readWeights(join(runDirectory, "model")) };
}

/** What a run trained: the float32 tensors of its adapter, or of its model, by name. */
function readWeights(directory: string): Map<string, Float32Array> {
  const files = ["adapter/adapter_model.safetensors", "adapter_model.safetensors", "model.safetensors"];
  const bytes = readFileSync(files.map((file) => join(directory, file)).find(existsSync)!);
  const headerBytes = Number(bytes.readBigUInt64LE());
  const header = JSON.parse(bytes.subarray(8, 8 + headerBytes).toString()) as Record<
    string,
    { dtype: string; data_offsets: [number, number] }
  >;
  const tensors = Object.entries(header).filter(([name]) => name !== "__metadata__");
  return new Map(
    tensors.map(
      ([
        name,
        {
          dtype,
          data_offsets: [from, to],
        },
      ]) => {
        if (dtype !== "F32") throw new Error(`${name} is ${dtype}, this test reads F32`);
        const data = bytes.subarray(8 + headerBytes + from, 8 + headerBytes + to);
        return [name, new Float32Array(Uint8Array.from(data).buffer)];
      },
    ),
  );
}

const worst = (a: Map<string, Float32Array>, b: Map<string, Float32Array>) =>
  Math.max(
    ...[...a].map(([name, values]) => Math.max(...values.map((value, i) => Math.abs(value - b.get(name)![i]!)))),
  );

describe("the embedded engine and our own Tinker server", () => {
  // With a KL term every loss is computed here; without, the server computes that of initial responses.
  it.each([
    { kl: 0.05, rank: 0 },
    { kl: 0, rank: 0 },
    { kl: 0.05, rank: 4 },
    { kl: 0, rank: 4 },
  ])("give the same rewards and weights after 5 steps (KL coefficient $kl, LoRA rank $rank)", async ({ kl, rank }) => {
    const seed = 5;
    const lora = rank === 0 ? null : { rank, alpha: 32, targets: "all-linear" as const, seed };
    const engine: EmbeddedEngineConfig = await tinyEngine(scratch, { lora });
    if (typeof engine.model === "string") throw new Error("the tiny model is a fresh one");
    const name = `${kl}-${rank}`;
    const untrained = join(scratch, `untrained-${name}`);
    mkdirSync(untrained);
    const embedded = await openPolicy(engine, { reference: true });
    await embedded.exportModel(untrained);
    const expected = await run(embedded, engine, kl, join(scratch, `embedded-${name}`)).finally(() => embedded.close());
    expect(worst(expected.weights, readWeights(untrained))).toBeGreaterThan(0.02);

    const server = await startServer({ model: engine.model, modelName: "tiny", threads: 1 });
    try {
      const remote = engineSchema.parse({
        type: "tinker",
        baseUrl: server.url,
        baseModel: "tiny",
        loraRank: rank,
        seed,
      });
      if (remote.type !== "tinker") throw new Error("not a Tinker engine");
      const policy = await openTinkerPolicy(remote, { client: { apiKey: server.apiKey, env: {} } });
      const found = await run(policy, remote, kl, join(scratch, `remote-${name}`)).finally(() => policy.close());

      expect(found.metrics).toHaveLength(5);
      for (const [i, record] of found.metrics.entries()) {
        for (const key of ["reward", "reward/group_mean", "refinement/accuracy", "tokens/generated"]) {
          expect(record[key], `${key} of step ${i + 1}`).toBe(expected.metrics[i]![key]);
        }
        for (const key of ["loss", "grad_norm", "sampling/logp_difference_max"]) {
          expect(record[key], `${key} of step ${i + 1}`).toBeCloseTo(expected.metrics[i]![key] as number, 4);
        }
      }
      expect(expected.metrics.some((record) => (record.reward as number) > 0)).toBe(true);
      expect([...found.weights.keys()].sort()).toEqual([...expected.weights.keys()].sort());
      // Ten optimizer steps move a weight by up to 0.1.
      expect(worst(expected.weights, found.weights)).toBeLessThan(1e-4);
    } finally {
      await server.close();
    }
  });
});
