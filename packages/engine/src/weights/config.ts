import { ConfigReader } from "./config-reader.js";
import { inverseFrequencies } from "./rope.js";

export type Architecture = "LlamaForCausalLM" | "Qwen2ForCausalLM" | "Qwen3ForCausalLM";

/** A Hugging Face config.json of any age, checked and normalised. Everything the network's mathematics depends on. */
export interface ModelConfig {
  readonly architecture: Architecture;
  readonly vocabularySize: number;
  readonly hiddenSize: number;
  readonly layerCount: number;
  readonly headCount: number;
  readonly keyValueHeadCount: number;
  readonly headDimension: number;
  /** Width of the gated MLP. */
  readonly intermediateSize: number;
  readonly normEpsilon: number;
  /** max_position_embeddings: tokens a sequence may have in all. */
  readonly contextLength: number;
  /** RoPE: radians a position of each pair of dimensions, scaling included. Length headDimension / 2. */
  readonly inverseFrequencies: Float32Array;
  /** Biases of the query, key and value projections; of the output projection; of the MLP's three projections. */
  readonly queryKeyValueBias: boolean;
  readonly outputBias: boolean;
  readonly mlpBias: boolean;
  /** RMS norm of each query and key head before RoPE (Qwen3). */
  readonly queryKeyNorm: boolean;
  /** The LM head is the embedding matrix: there is no lm_head.weight. */
  readonly tiedEmbeddings: boolean;
  /** Standard deviation of fresh weights. */
  readonly initializerRange: number;
  readonly eosTokenIds: readonly number[];
  /** The JSON as it was read, for export. */
  readonly original: Readonly<Record<string, unknown>>;
}

const ARCHITECTURES: readonly Architecture[] = ["LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"];
const BY_MODEL_TYPE: Readonly<Record<string, Architecture>> = {
  llama: "LlamaForCausalLM",
  qwen2: "Qwen2ForCausalLM",
  qwen3: "Qwen3ForCausalLM",
};

/**
 * Reads a config.json. Keys that are absent (or null) have the defaults of transformers' own configuration classes.
 * @param source Where the JSON came from, for errors.
 * @throws Error that names the key, its value and what is supported. Nothing unsupported is ignored.
 */
export function parseModelConfig(json: unknown, source = "config.json"): ModelConfig {
  const reader = new ConfigReader(json, source);
  const architecture = readArchitecture(reader);
  refuseUnsupported(reader, architecture);

  const hiddenSize = reader.size("hidden_size");
  const headCount = reader.size("num_attention_heads");
  const keyValueHeadCount = reader.size("num_key_value_heads", headCount);
  if (headCount % keyValueHeadCount !== 0) {
    reader.fail("num_key_value_heads", `a divisor of num_attention_heads (${headCount})`);
  }
  const headDimension = reader.size("head_dim", defaultHeadDimension(reader, architecture, hiddenSize, headCount));
  if (headDimension % 2 !== 0) reader.fail("head_dim", "an even number (RoPE rotates pairs)");
  const attentionBias = reader.boolean("attention_bias", false);
  const contextLength = reader.size("max_position_embeddings", architecture === "LlamaForCausalLM" ? 2048 : 32768);

  return {
    architecture,
    vocabularySize: reader.size("vocab_size"),
    hiddenSize,
    layerCount: reader.size("num_hidden_layers"),
    headCount,
    keyValueHeadCount,
    headDimension,
    intermediateSize: reader.size("intermediate_size"),
    normEpsilon: reader.positive("rms_norm_eps", 1e-6),
    contextLength,
    inverseFrequencies: inverseFrequencies(reader, headDimension),
    // Qwen2 has these biases whatever the config says; transformers' class does not read the key.
    queryKeyValueBias: architecture === "Qwen2ForCausalLM" || attentionBias,
    outputBias: architecture !== "Qwen2ForCausalLM" && attentionBias,
    mlpBias: architecture === "LlamaForCausalLM" && reader.boolean("mlp_bias", false),
    queryKeyNorm: architecture === "Qwen3ForCausalLM",
    tiedEmbeddings: reader.boolean("tie_word_embeddings", false),
    initializerRange: reader.positive("initializer_range", 0.02),
    eosTokenIds: reader.tokenIds("eos_token_id"),
    original: reader.json,
  };
}

function readArchitecture(reader: ConfigReader): Architecture {
  const expected = `one of ${ARCHITECTURES.join(", ")}`;
  const listed = reader.get("architectures");
  if (listed !== undefined) {
    const [first] = Array.isArray(listed) ? listed : [listed];
    const known = ARCHITECTURES.find((architecture) => architecture === first);
    return known ?? reader.fail("architectures", expected);
  }
  // A config of a fresh model often has no `architectures`.
  const modelType = reader.get("model_type");
  if (modelType === undefined) return reader.fail("architectures", expected);
  return BY_MODEL_TYPE[String(modelType)] ?? reader.fail("model_type", Object.keys(BY_MODEL_TYPE).join(", "));
}

function defaultHeadDimension(
  reader: ConfigReader,
  architecture: Architecture,
  hiddenSize: number,
  headCount: number,
): number {
  if (architecture === "Qwen3ForCausalLM") return 128;
  if (reader.get("head_dim") === undefined && hiddenSize % headCount !== 0) {
    reader.fail("hidden_size", `a multiple of num_attention_heads (${headCount}), or a head_dim beside it`);
  }
  return hiddenSize / headCount;
}

/** Features of the three families, or of configs made from them, that the engine's graph does not have. */
function refuseUnsupported(reader: ConfigReader, architecture: Architecture): void {
  const activation = reader.get("hidden_act") ?? "silu";
  if (activation !== "silu" && activation !== "swish") reader.fail("hidden_act", '"silu"');
  if (reader.get("quantization_config") !== undefined) {
    reader.fail("quantization_config", "no such key: weights in float32, float16 or bfloat16");
  }
  if ((reader.get("attention_dropout") ?? 0) !== 0) reader.fail("attention_dropout", "0");
  if (architecture === "LlamaForCausalLM") return;

  const layerTypes = reader.get("layer_types");
  if (layerTypes !== undefined) {
    const full = Array.isArray(layerTypes) && layerTypes.every((type) => type === "full_attention");
    if (!full) reader.fail("layer_types", '"full_attention" for every layer (no sliding window)');
  }
  // Without layer_types, transformers gives layers from max_window_layers on a sliding window.
  const active =
    reader.boolean("use_sliding_window", false) &&
    reader.get("sliding_window") !== undefined &&
    layerTypes === undefined &&
    reader.size("num_hidden_layers") > Number(reader.get("max_window_layers") ?? 28);
  if (active) reader.fail("use_sliding_window", "false (attention over the whole context)");
}
