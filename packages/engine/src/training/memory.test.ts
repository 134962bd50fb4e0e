import { expect, test } from "vitest";
import { loraConfig, parseModelConfig } from "../weights/index.js";
import { estimateTrainingMemory, peakBytes } from "./memory.js";

/** The shape of Qwen3-0.6B. */
const config = parseModelConfig({
  architectures: ["Qwen3ForCausalLM"],
  vocab_size: 151936,
  hidden_size: 1024,
  intermediate_size: 3072,
  num_hidden_layers: 28,
  num_attention_heads: 16,
  num_key_value_heads: 8,
  head_dim: 128,
  tie_word_embeddings: true,
});
const adapters = { config, lora: loraConfig({ rank: 16, alpha: 32 }), threads: 2 };
const gigabytes = (demand: { longest: number; sequences?: number }, budget = 16.8e9) =>
  peakBytes(estimateTrainingMemory({ ...adapters, microBatchTokens: demand.longest, ...demand }), budget) / 1e9;

test("a single long sequence uses one lane, whose share of the memory does not grow for it", () => {
  // Measured with `npm run bench:large -- long`: 10.0 GB.
  expect(gigabytes({ longest: 8192, sequences: 1 })).toBeGreaterThan(0.85 * 10);
  expect(gigabytes({ longest: 8192, sequences: 1 })).toBeLessThan(1.15 * 10);
  expect(gigabytes({ longest: 8192, sequences: 2 })).toBe(gigabytes({ longest: 8192 }));
  expect(gigabytes({ longest: 8192 })).toBeGreaterThan(gigabytes({ longest: 8192, sequences: 1 }));
});

test("what is planned stays within the budget if the least that is needed does", () => {
  const least = gigabytes({ longest: 1024 }, 0);
  for (const budget of [least, least + 1, least + 100])
    expect(gigabytes({ longest: 1024 }, budget * 1e9)).toBeLessThanOrEqual(budget + 1e-9);
});
