import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
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
const engine = (more: object) => engineSchema.parse({ type: "embedded", model: { config }, threads: 2, ...more });
const GIB = 2 ** 30;

describe("the memory of training", () => {
  it("is the weights, and with adapters little beside them but activations", async () => {
    const plan = await planMemory(engine({ lora: {}, recompute: "always", memoryGiB: 16 }), 1024);
    expect(plan!.weights / GIB).toBeCloseTo(2.22, 2);
    expect(plan!.peak / GIB).toBeGreaterThan(2.5);
    expect(plan!.peak / GIB).toBeLessThan(4.5);
  });

  it("has room for gradients and optimizer state in full fine-tuning", async () => {
    const plan = await planMemory(engine({ memoryGiB: 16 }), 1024);
    expect(plan!.peak).toBeGreaterThan(4 * plan!.weights);
    expect(plan!.peak).toBeLessThan(16 * GIB);
  });

  it("stays within the budget where layers can be computed again, and is refused with advice where nothing helps", async () => {
    const plan = await planMemory(engine({ lora: {}, memoryGiB: 5 }), 1024);
    expect(plan!.peak).toBeLessThanOrEqual(5 * GIB);
    await expect(planMemory(engine({ lora: {}, memoryGiB: 5, recompute: "never" }), 1024)).rejects.toThrow(
      /training needs about .* GiB, but may plan with 5\.0 GiB.*engine\.recompute to auto/,
    );
    await expect(planMemory(engine({ memoryGiB: 5 }), 1024)).rejects.toThrow(/set engine\.lora/);
  });
});
