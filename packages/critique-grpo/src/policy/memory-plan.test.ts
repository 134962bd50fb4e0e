import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { machineMemoryBytes } from "@critique-grpo/engine";
import { afterAll, describe, expect, it } from "vitest";
import { engineSchema } from "../config/engine-schema.js";
import { planMemory } from "./memory-plan.js";

const directory = mkdtempSync(join(tmpdir(), "memory-plan-"));
afterAll(() => rmSync(directory, { recursive: true }));
const config = join(directory, "config.json");
/** The shape of Qwen3-0.6B. */
writeFileSync(
  config,
  JSON.stringify({
    architectures: ["Qwen3ForCausalLM"],
    vocab_size: 151936,
    hidden_size: 1024,
    intermediate_size: 3072,
    num_hidden_layers: 28,
    num_attention_heads: 16,
    num_key_value_heads: 8,
    head_dim: 128,
    max_position_embeddings: 40960,
    tie_word_embeddings: true,
  }),
);
/** The same, with weights stored in 16 bits, and an adapter for it. */
const halves = join(directory, "halves");
const adapter = join(directory, "adapter");
for (const path of [halves, adapter]) mkdirSync(path);
writeFileSync(
  join(halves, "config.json"),
  JSON.stringify({ ...JSON.parse(readFileSync(config, "utf8")), dtype: "bfloat16" }),
);
writeFileSync(
  join(adapter, "adapter_config.json"),
  JSON.stringify({
    ...{ peft_type: "LORA", r: 16, lora_alpha: 32, target_modules: "all-linear" },
    base_model_name_or_path: "../halves",
  }),
);
const engine = (more: object) => engineSchema.parse({ type: "embedded", model: { config }, threads: 2, ...more });
const GIB = 2 ** 30;

describe("the memory of training", () => {
  it("is the weights, and with adapters little beside them but activations", async () => {
    const plan = await planMemory(engine({ lora: {}, recompute: "always", memoryGiB: 16 }), { longest: 1024 });
    expect(plan!.weights / GIB).toBeCloseTo(2.22, 2);
    expect(plan!.peak / GIB).toBeGreaterThan(2.5);
    expect(plan!.peak / GIB).toBeLessThan(4.5);
  });

  it("has room for gradients and optimizer state in full fine-tuning", async () => {
    const plan = await planMemory(engine({ memoryGiB: 16 }), { longest: 1024 });
    expect(plan!.peak).toBeGreaterThan(4 * plan!.weights);
    expect(plan!.peak).toBeLessThan(16 * GIB);
  });

  it("stays within the budget where layers can be computed again, and is refused with advice where nothing helps", async () => {
    const plan = await planMemory(engine({ lora: {}, memoryGiB: 5 }), { longest: 1024 });
    expect(plan!.peak).toBeLessThanOrEqual(5 * GIB);
    await expect(planMemory(engine({ lora: {}, memoryGiB: 5, recompute: "never" }), { longest: 1024 })).rejects.toThrow(
      /training needs about .* GiB, but may plan with 5\.0 GiB.*engine\.recompute to auto/,
    );
    await expect(planMemory(engine({ memoryGiB: 5 }), { longest: 1024 })).rejects.toThrow(/set engine\.lora/);
  });

  it("grows with the sequences, and with micro-batches where they are asked for", async () => {
    const peak = async (longest: number, more: object = {}) =>
      (await planMemory(engine({ lora: {}, recompute: "never", ...more }), { longest }))!.peak;
    // By itself a large model gets small micro-batches: 273 tokens for each of two lanes.
    expect(await peak(64)).toBeLessThan((await peak(1024)) - 2 * GIB);
    expect(await peak(64, { microBatchTokens: 1024 })).toBeGreaterThan((await peak(64)) + 2 * GIB);
  });

  it("of an adapter directory is that of its adapters", async () => {
    const use = { longest: 1024 };
    const plan = await planMemory(engine({ model: adapter, recompute: "always" }), use);
    expect(plan).toEqual(await planMemory(engine({ model: halves, lora: {}, recompute: "always" }), use));
    expect(plan!.peak).toBeLessThan((await planMemory(engine({ model: halves }), use))!.peak / 2);
  });

  it("is less with weights in the 16 bits of their file, which need adapters", async () => {
    const plan = (more: object) =>
      planMemory(engine({ model: halves, recompute: "always", ...more }), { longest: 1024 });
    const [float, stored] = [await plan({ lora: {} }), await plan({ lora: {}, frozenWeights: "stored" })];
    // 440 million numbers in the layers.
    expect(float!.weights - stored!.weights).toBe(2 * 28 * (2 * 2048 * 1024 + 2 * 1024 * 1024 + 3 * 3072 * 1024));
    expect(stored!.peak).toBeLessThan(float!.peak);
    await expect(plan({ lora: {}, memoryGiB: 2 })).rejects.toThrow(/set engine\.frozenWeights to stored/);
    await expect(plan({ frozenWeights: "stored" })).rejects.toThrow(/all weights are trained.*set engine\.lora/);
  });

  it("counts a second copy of the weights for a reference, but not beside adapters", async () => {
    const weights = async (more: object) =>
      (await planMemory(engine(more), { longest: 64, reference: true }))!.weights / GIB;
    expect(await weights({ lora: {} })).toBeCloseTo(2.22, 2);
    expect(await weights({})).toBeCloseTo(4.44, 2);
  });
});

describe("the memory of sampling beside it", () => {
  const generation = async (sequences: number, longest: number) =>
    (await planMemory(engine({ lora: {}, recompute: "always" }), { longest, sampling: { sequences, longest } }))!
      .generation;

  it("grows with sequences and their length, up to what keys and values may take", async () => {
    expect((await planMemory(engine({ lora: {} }), { longest: 64 }))!.generation).toBe(0);
    const keysAndValues = 8 * 28 * 8 * 128;
    expect((await generation(9, 1024)) - (await generation(8, 1024))).toBe(1024 * keysAndValues + 8 * 151936);
    expect(await generation(100_000, 1024)).toBe(await generation(10_000, 1024));
    expect((await generation(100_000, 1024)) - (await generation(1, 1024))).toBeLessThanOrEqual(4 * GIB);
  });

  it("is part of what must fit into the machine", async () => {
    const machineGiB = machineMemoryBytes() / GIB;
    const use = { longest: 8192, sampling: { sequences: 1000, longest: 8192 } };
    await expect(planMemory(engine({ lora: {}, memoryGiB: machineGiB }), use)).rejects.toThrow(
      /and sampling .* GiB beside it, but the machine has .*lower engine\.memoryGiB/,
    );
  });
});
