import {
  Graph,
  multiply,
  reshape,
  reshapeBy,
  rmsNorm,
  rotaryEmbedding,
  serialiseModel,
  subgraph,
  type Value,
  widened,
} from "../graph/index.js";
import {
  type AttentionStrategy,
  decoderLayer,
  embeddingName,
  finalNormName,
  headName,
  layerWeights,
} from "../model/index.js";
import type { ExecutionProvider } from "../runtime/types.js";
import { adapterLayout, type LoraConfig, type ModelConfig } from "../weights/index.js";
import { withExternalInitializers } from "./external-initializers.js";
import { type KeptWeights, usedWeights, weightSpecifications } from "./kept-weights.js";

/** Names of the cache of a layer: as inputs (what is there) and outputs (with the new tokens; the same memory). */
export const pastKeyName = (layer: number) => `past_key.${layer}`;
export const pastValueName = (layer: number) => `past_value.${layer}`;
export const presentKeyName = (layer: number) => `present_key.${layer}`;
export const presentValueName = (layer: number) => `present_value.${layer}`;

/** How the weights come into a session: with every run, or once as constants that ONNX Runtime prepares. */
export type WeightKind = "feeds" | "constants";

/**
 * The model that continues sequences, for ONNX Runtime on the CPU. It serves both phases: prefill (whole right-padded
 * prompts into an empty cache) and decode (time = 1, one more token for each sequence).
 *
 * Inputs besides the weights (HF names), the cosine and sine tables and the caches [batch, keyValueHeads, capacity,
 * headDimension]:
 * - `ids` int32 [tokens]: tokens = batch × time, row by row
 * - `batchTime` int64 [3]: batch, time, −1
 * - `lastRows` int32 [outputs]: index in `ids` of each sequence's last token; outputs ≥ batch, the rest is not read
 * - `lastIndices` int32 [batch]: tokens of each sequence, the new ones included, minus one
 * - `longest` int32 []: an upper bound of these tokens; equal to time exactly in prefill
 * - `inverseTemperatures` [outputs, 1]
 * - if `rotatesSeparately`: `positions` int64 [tokens, 1]
 *
 * Outputs besides the caches: `logits` [outputs, vocabulary], divided by the temperature, and `probabilities`, their
 * softmax.
 * @param weightKind "constants": the weights are external initializers instead of inputs.
 * @param lora there are adapters beside the weights, which are inputs in any case.
 * @param provider whose kernels will run it; on a device the weights are feeds.
 * @param kept how the weights come; those of 16 bits are widened in the graph, once if they are constants.
 */
export function generationModel(
  config: ModelConfig,
  weightKind: WeightKind,
  lora?: LoraConfig,
  provider: ExecutionProvider = "cpu",
  kept: KeptWeights = {},
): Uint8Array {
  const graph = new Graph();
  const specifications = weightSpecifications(config, kept);
  const stored = new Map(specifications.map(({ name, shape, type }) => [name, graph.input(name, shape, type)]));
  const { weights, projection } = usedWeights(config, kept, stored);
  const factors = new Map<string, Value>();
  for (const { name, shape } of lora ? adapterLayout(config, lora).flat() : [])
    factors.set(name, graph.input(name, shape));
  const ids = graph.input("ids", ["tokens"], "int32");
  const lastRows = graph.input("lastRows", ["outputs"], "int32");
  const inverseTemperatures = graph.input("inverseTemperatures", ["outputs", 1]);
  const caches: Record<string, Value> = {};
  const attention = cachedAttention(graph, config, caches);

  const width = config.hiddenSize;
  const table = stored.get(embeddingName)!;
  let x = widened(graph.node("Gather", [table, ids], [{ shape: ["tokens", width], type: table.type }])[0]!);
  // Behind the last attention nobody looks at a prompt's other tokens.
  const lastTokens = (rows: Value) =>
    graph.node("Gather", [rows, lastRows], [{ shape: ["outputs", rows.shape[1]!] }])[0]!;
  for (let layer = 0; layer < config.layerCount; layer++) {
    const layerValues = layerWeights(layer, weights, lora && { weights: factors, config: lora });
    const select = layer === config.layerCount - 1 ? lastTokens : undefined;
    x = decoderLayer(x, layer, layerValues, config, attention, { projection, select });
  }
  const hidden = rmsNorm(x, weights.get(finalNormName)!, config.normEpsilon);
  const logits = multiply(projection(hidden, weights.get(headName(config))!), inverseTemperatures);
  const probabilities = graph.node("Softmax", [logits], [{ shape: logits.shape }], { attributes: { axis: -1n } })[0]!;
  const part = subgraph(graph, { logits, probabilities, ...caches });
  if (weightKind === "feeds") return serialiseModel(part, provider);
  const isWeight = new Set(stored.values());
  const model = serialiseModel({ ...part, inputs: part.inputs.filter((input) => !isWeight.has(input)) }, provider);
  return withExternalInitializers(model, specifications);
}

/**
 * Size of a head in the cache. GroupQueryAttention wants a multiple of 8; other heads are filled up with zeros, which
 * change no dot product.
 */
export function cacheHeadDimension(config: ModelConfig): number {
  return Math.ceil(config.headDimension / 8) * 8;
}

/** Whether queries and keys are rotated outside of GroupQueryAttention: inside, it wants a multiple of 16. */
export function rotatesSeparately(config: ModelConfig): boolean {
  return config.headDimension % 16 !== 0;
}

/** GroupQueryAttention with rotary embedding on a cache that is extended in place. */
function cachedAttention(graph: Graph, config: ModelConfig, caches: Record<string, Value>): AttentionStrategy {
  const { headCount, keyValueHeadCount, headDimension } = config;
  const size = cacheHeadDimension(config);
  const separate = rotatesSeparately(config);
  const cacheShape = ["batch", keyValueHeadCount, "capacity", size];
  const lastIndices = graph.input("lastIndices", ["batch"], "int32");
  const longest = graph.input("longest", [], "int32");
  const cosine = graph.input("cosine", ["positions", headDimension / 2]);
  const sine = graph.input("sine", ["positions", headDimension / 2]);
  const batchTime = graph.input("batchTime", [3], "int64");
  const positions = separate ? graph.input("positions", ["tokens", 1], "int64") : undefined;

  /** [tokens, count × headDimension] → [batch, time, count × size], rotated if GroupQueryAttention does not. */
  const prepare = (rows: Value, count: number, rotate: boolean) => {
    let prepared = rows;
    if (positions !== undefined) {
      // Each token is a batch of its own here, so that positions may be any.
      prepared = reshape(prepared, ["tokens", count, 1, headDimension]);
      if (rotate) prepared = rotaryEmbedding(prepared, { cosine, sine, positions });
      if (size !== headDimension) {
        const padding = graph.integers([0, 0, 0, 0, 0, 0, 0, size - headDimension]);
        prepared = graph.node("Pad", [prepared, padding], [{ shape: ["tokens", count, 1, size] }])[0]!;
      }
    }
    // A reshape costs little, but a step has dozens: one is enough.
    return reshapeBy(beforeReshapes(prepared), batchTime, ["batch", "time", count * size]);
  };
  /** [batch, time, headCount × size] → [tokens, headCount × headDimension]. */
  const finish = (context: Value) => {
    if (size === headDimension) return reshape(context, ["tokens", headCount * size]);
    const heads = reshape(context, ["tokens", headCount, size]);
    const range = [[0], [headDimension], [2]].map((values) => graph.integers(values));
    const cut = graph.node("Slice", [heads, ...range], [{ shape: ["tokens", headCount, headDimension] }])[0]!;
    return reshape(cut, ["tokens", headCount * headDimension]);
  };

  return ({ layer, query, key, value }) => {
    const [context, presentKey, presentValue] = graph.node(
      "GroupQueryAttention",
      [
        prepare(query, headCount, true),
        prepare(key, keyValueHeadCount, true),
        prepare(value, keyValueHeadCount, false),
        graph.input(pastKeyName(layer), cacheShape),
        graph.input(pastValueName(layer), cacheShape),
        lastIndices,
        longest,
        ...(separate ? [] : [cosine, sine]),
      ],
      [{ shape: ["batch", "time", headCount * size] }, { shape: cacheShape }, { shape: cacheShape }],
      {
        domain: "com.microsoft",
        attributes: {
          num_heads: BigInt(headCount),
          kv_num_heads: BigInt(keyValueHeadCount),
          do_rotary: separate ? 0n : 1n,
          scale: 1 / Math.sqrt(headDimension),
        },
      },
    );
    caches[presentKeyName(layer)] = presentKey!;
    caches[presentValueName(layer)] = presentValue!;
    return finish(context!);
  };
}

/** The value that `value` is another view of. */
function beforeReshapes(value: Value): Value {
  return value.node?.op === "Reshape" ? beforeReshapes(value.node.inputs[0]!) : value;
}
