import type { ModelShape } from "./flops.js";

/** What the configs have in common: Qwen3 with float32 weights, as a Hugging Face config.json. */
const common = {
  architectures: ["Qwen3ForCausalLM"],
  model_type: "qwen3",
  hidden_act: "silu",
  attention_bias: false,
  attention_dropout: 0,
  initializer_range: 0.02,
  rms_norm_eps: 1e-6,
  rope_theta: 10000,
  tie_word_embeddings: false,
  use_sliding_window: false,
  torch_dtype: "float32",
  bos_token_id: 1,
  eos_token_id: 1,
} as const;

/** The models that are measured; their weights are random. */
export const models = {
  /** 5.0 million parameters. */
  S: {
    ...common,
    vocab_size: 512,
    hidden_size: 256,
    intermediate_size: 768,
    num_hidden_layers: 6,
    num_attention_heads: 8,
    num_key_value_heads: 4,
    head_dim: 32,
    max_position_embeddings: 512,
  },
  /** 31 million parameters. */
  M: {
    ...common,
    vocab_size: 4096,
    hidden_size: 512,
    intermediate_size: 1536,
    num_hidden_layers: 8,
    num_attention_heads: 8,
    num_key_value_heads: 8,
    head_dim: 64,
    max_position_embeddings: 512,
  },
} as const satisfies Readonly<Record<string, ModelShape & Record<string, unknown>>>;

export type ModelName = keyof typeof models;
