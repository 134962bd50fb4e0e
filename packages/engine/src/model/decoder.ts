import {
  add,
  fixedDimension,
  type LowRankFactors,
  linear,
  lowRankLinear,
  reshape,
  rmsNorm,
  swiglu,
  type Value,
} from "../graph/index.js";
import { type LoraConfig, loraNames, loraScale, type ModelConfig } from "../weights/index.js";
import { layerPrefix } from "./names.js";

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

export interface ProjectionOptions {
  readonly bias?: Value | undefined;
  readonly factors?: LowRankFactors | undefined;
  /** Rows that the product is added to. */
  readonly residual?: Value | undefined;
}

/**
 * How a layer multiplies rows [tokens, in] by one of its matrices: y = x Wᵀ + b, and what the matrix's adapter adds. The
 * block does not know how the weight is kept.
 */
export type ProjectionStrategy = (x: Value, weight: Value, options?: ProjectionOptions) => Value;

/** Products of float32 weights [out, in]. */
export const floatProjection: ProjectionStrategy = (x, weight, { bias, factors, residual } = {}) => {
  const y = factors ? lowRankLinear(x, weight, factors, bias) : linear(x, weight, bias);
  return residual ? add(residual, y) : y;
};

/** The parameters of one layer by their names without `model.layers.N.`, e.g. `mlp.up_proj.weight`. */
export interface LayerWeights {
  weight(name: string): Value;
  /** The adapter of a matrix; undefined where it has none. */
  adapterOf(name: string): LowRankFactors | undefined;
}

/**
 * Picks the weights of a layer out of all values of a graph by their Hugging Face names.
 * @param adapter the adapters' values and the factor on their products
 */
export function layerWeights(
  layer: number,
  weights: ReadonlyMap<string, Value>,
  adapter?: { readonly weights: ReadonlyMap<string, Value>; readonly config: LoraConfig } | undefined,
): LayerWeights {
  const prefix = layerPrefix(layer);
  return {
    weight: (name) => weights.get(prefix + name)!,
    adapterOf: (name) => {
      const names = loraNames(prefix + name);
      const [a, b] = [adapter?.weights.get(names.a), adapter?.weights.get(names.b)];
      return adapter && a && b ? { a, b, scale: loraScale(adapter.config) } : undefined;
    },
  };
}

export interface DecoderLayerOptions {
  readonly projection?: ProjectionStrategy;
  /** Picks the rows that go on behind attention, which has seen all. Default: all. */
  readonly select?: (rows: Value) => Value;
}

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
  { projection = floatProjection, select = (rows) => rows }: DecoderLayerOptions = {},
): Value {
  const { normEpsilon: epsilon, queryKeyValueBias: qkvBias, outputBias, mlpBias } = config;
  const project = (input: Value, name: string, hasBias: boolean, residual?: Value) => {
    const bias = hasBias ? weights.weight(`${name}.bias`) : undefined;
    const factors = weights.adapterOf(`${name}.weight`);
    return projection(input, weights.weight(`${name}.weight`), { bias, factors, residual });
  };
  const headNorm = (rows: Value, name: string) => {
    if (!config.queryKeyNorm) return rows;
    const count = fixedDimension(rows.shape, 1) / config.headDimension;
    const heads = reshape(rows, [`tokens*${count}`, config.headDimension]);
    return reshape(rmsNorm(heads, weights.weight(name), epsilon), rows.shape);
  };

  const attentionInput = rmsNorm(x, weights.weight("input_layernorm.weight"), epsilon);
  const context = attention({
    layer,
    query: headNorm(project(attentionInput, "self_attn.q_proj", qkvBias), "self_attn.q_norm.weight"),
    key: headNorm(project(attentionInput, "self_attn.k_proj", qkvBias), "self_attn.k_norm.weight"),
    value: project(attentionInput, "self_attn.v_proj", qkvBias),
  });
  const afterAttention = project(select(context), "self_attn.o_proj", outputBias, select(x));

  const mlpInput = rmsNorm(afterAttention, weights.weight("post_attention_layernorm.weight"), epsilon);
  const gated = swiglu(project(mlpInput, "mlp.gate_proj", mlpBias), project(mlpInput, "mlp.up_proj", mlpBias));
  return project(gated, "mlp.down_proj", mlpBias, afterAttention);
}
