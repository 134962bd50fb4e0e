/** A fresh Llama of a few thousand parameters for the copy task: real weights, real engine, milliseconds a step. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { EmbeddedEngineConfig } from "../policy/embedded.js";

/** Writes config.json into the directory and returns the engine configuration of a fresh model of it. */
export async function tinyEngine(
  directory: string,
  overrides: Partial<EmbeddedEngineConfig> = {},
): Promise<EmbeddedEngineConfig> {
  const config = join(directory, "config.json");
  await writeFile(config, JSON.stringify(TINY_LLAMA));
  return { type: "embedded", model: { config, seed: 3 }, threads: 1, microBatchTokens: 8192, ...overrides };
}

const TINY_LLAMA = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: 19,
  hidden_size: 16,
  intermediate_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 8,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  tie_word_embeddings: false,
  hidden_act: "silu",
  eos_token_id: 18,
};
