/** Test support: a Qwen3 small enough to be trained within a test. */
export const smallQwen3 = {
  architectures: ["Qwen3ForCausalLM"],
  vocab_size: 40,
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 8,
  max_position_embeddings: 64,
};
