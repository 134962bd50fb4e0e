/** The part of a Hugging Face config that decides how much arithmetic a token costs. */
export interface ModelShape {
  readonly vocab_size: number;
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly head_dim: number;
}

/**
 * Weights that a token is multiplied with: projections, feed-forward, head. The embedding is a look-up and does not
 * count; a tied head does.
 */
export function matmulParameters(shape: ModelShape): number {
  const { hidden_size: hidden, head_dim: headDim } = shape;
  const queryAndOutput = 2 * hidden * shape.num_attention_heads * headDim;
  const keyAndValue = 2 * hidden * shape.num_key_value_heads * headDim;
  const feedForward = 3 * hidden * shape.intermediate_size;
  return shape.num_hidden_layers * (queryAndOutput + keyAndValue + feedForward) + hidden * shape.vocab_size;
}

/**
 * Floating-point operations of forward and backward over `batch` sequences of `length` tokens:
 *
 *     6 · N · batch · length  +  12 · layers · heads · head_dim · batch · length · (length + 1) / 2
 *
 * N: `matmulParameters` (2 operations forward, 4 backward for each weight and token). The second term is QKᵀ and the
 * weighted sum of V, forward and backward, of the causal half only: what has to be computed, not what an implementation
 * that fills the upper triangle does compute. Recomputation, norms, softmax and the optimizer do not count.
 */
export function trainingFlops(shape: ModelShape, batch: number, length: number): number {
  const attention = 12 * shape.num_hidden_layers * shape.num_attention_heads * shape.head_dim;
  return 6 * matmulParameters(shape) * batch * length + (attention * batch * length * (length + 1)) / 2;
}
