/** The sizes and switches in which Llama, Qwen2 and Qwen3 decoders differ. */
export interface DecoderShape {
  readonly vocabularySize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layerCount: number;
  readonly headCount: number;
  readonly kvHeadCount: number;
  readonly headDim: number;
  readonly rmsNormEpsilon: number;
  /** Biases of the q, k and v projections (Qwen2, Llama's attention_bias). */
  readonly qkvBias: boolean;
  /** Bias of the output projection (Llama's and Qwen3's attention_bias). */
  readonly outputBias: boolean;
  /** Biases of gate, up and down (Llama's mlp_bias). */
  readonly mlpBias: boolean;
  /** RMSNorm of each query and key head before RoPE (Qwen3). */
  readonly qkNorm: boolean;
  /** The output head is the embedding matrix. */
  readonly tiedHead: boolean;
}

export interface ParameterSpecification {
  readonly name: string;
  readonly shape: readonly number[];
}

/** Names and shapes of one layer's parameters, without the prefix `model.layers.N.`. */
export function layerParameters(shape: DecoderShape): readonly ParameterSpecification[] {
  const { hiddenSize, intermediateSize, headDim, qkvBias, outputBias, mlpBias, qkNorm } = shape;
  const querySize = shape.headCount * headDim;
  const keySize = shape.kvHeadCount * headDim;
  const projection = (name: string, out: number, input: number, bias: boolean): ParameterSpecification[] => [
    { name: `${name}.weight`, shape: [out, input] },
    ...(bias ? [{ name: `${name}.bias`, shape: [out] }] : []),
  ];
  return [
    { name: "input_layernorm.weight", shape: [hiddenSize] },
    ...projection("self_attn.q_proj", querySize, hiddenSize, qkvBias),
    ...projection("self_attn.k_proj", keySize, hiddenSize, qkvBias),
    ...projection("self_attn.v_proj", keySize, hiddenSize, qkvBias),
    ...(qkNorm
      ? [
          { name: "self_attn.q_norm.weight", shape: [headDim] },
          { name: "self_attn.k_norm.weight", shape: [headDim] },
        ]
      : []),
    ...projection("self_attn.o_proj", hiddenSize, querySize, outputBias),
    { name: "post_attention_layernorm.weight", shape: [hiddenSize] },
    ...projection("mlp.gate_proj", intermediateSize, hiddenSize, mlpBias),
    ...projection("mlp.up_proj", intermediateSize, hiddenSize, mlpBias),
    ...projection("mlp.down_proj", hiddenSize, intermediateSize, mlpBias),
  ];
}

export const embeddingName = "model.embed_tokens.weight";
export const finalNormName = "model.norm.weight";

/** The head's weight: a tensor of its own, or the embedding where they are tied. */
export function headName(shape: DecoderShape): string {
  return shape.tiedHead ? embeddingName : "lm_head.weight";
}

export function layerPrefix(layer: number): string {
  return `model.layers.${layer}.`;
}

/** All parameters under their Hugging Face names, in the order of `state_dict()`. */
export function modelParameters(shape: DecoderShape): readonly ParameterSpecification[] {
  const perLayer = layerParameters(shape);
  return [
    { name: embeddingName, shape: [shape.vocabularySize, shape.hiddenSize] },
    ...Array.from({ length: shape.layerCount }, (_, layer) =>
      perLayer.map((parameter) => ({ ...parameter, name: layerPrefix(layer) + parameter.name })),
    ).flat(),
    { name: finalNormName, shape: [shape.hiddenSize] },
    ...(shape.tiedHead ? [] : [{ name: "lm_head.weight", shape: [shape.vocabularySize, shape.hiddenSize] }]),
  ];
}
