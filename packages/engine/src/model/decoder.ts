import { add, fixedDimension, linear, reshape, rmsNorm, swiglu, type Value } from "../graph/index.js";
import type { ModelConfig } from "../weights/index.js";

export interface AttentionInput {
  readonly layer: number;
  /** [tokens, headCount × headDimension], after QK-norm, before RoPE. */
  readonly query: Value;
  /** [tokens, keyValueHeadCount × headDimension], after QK-norm, before RoPE. */
  readonly key: Value;
  /** [tokens, keyValueHeadCount × headDimension]. */
  readonly value: Value;
}

/**
 * How a layer attends: rotates queries and keys and mixes values. Training attends within the batch, generation to a
 * cache; the block does not know. Returns [tokens, headCount × headDimension].
 */
export type AttentionStrategy = (input: AttentionInput) => Value;

/** Looks up a parameter of one layer by its name without `model.layers.N.`, e.g. `mlp.up_proj.weight`. */
export type LayerWeights = (name: string) => Value;

/**
 * One pre-norm decoder block of Llama, Qwen2 and Qwen3:
 * x += Attention(RMSNorm(x)); x += SwiGLU(RMSNorm(x)). x [tokens, hiddenSize].
 */
export function decoderLayer(
  x: Value,
  layer: number,
  weights: LayerWeights,
  config: ModelConfig,
  attention: AttentionStrategy,
): Value {
  const { normEpsilon: epsilon, queryKeyValueBias: qkvBias, outputBias, mlpBias } = config;
  const project = (input: Value, name: string, bias: boolean) =>
    linear(input, weights(`${name}.weight`), bias ? weights(`${name}.bias`) : undefined);
  const headNorm = (rows: Value, name: string) => {
    if (!config.queryKeyNorm) return rows;
    const count = fixedDimension(rows.shape, 1) / config.headDimension;
    const heads = reshape(rows, [`tokens*${count}`, config.headDimension]);
    return reshape(rmsNorm(heads, weights(name), epsilon), rows.shape);
  };

  const attentionInput = rmsNorm(x, weights("input_layernorm.weight"), epsilon);
  const context = attention({
    layer,
    query: headNorm(project(attentionInput, "self_attn.q_proj", qkvBias), "self_attn.q_norm.weight"),
    key: headNorm(project(attentionInput, "self_attn.k_proj", qkvBias), "self_attn.k_norm.weight"),
    value: project(attentionInput, "self_attn.v_proj", qkvBias),
  });
  const afterAttention = add(x, project(context, "self_attn.o_proj", outputBias));

  const mlpInput = rmsNorm(afterAttention, weights("post_attention_layernorm.weight"), epsilon);
  const gated = swiglu(project(mlpInput, "mlp.gate_proj", mlpBias), project(mlpInput, "mlp.up_proj", mlpBias));
  return add(afterAttention, project(gated, "mlp.down_proj", mlpBias));
}
