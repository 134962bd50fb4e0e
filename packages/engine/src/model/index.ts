export {
  batchAttention,
  type SlotInputs,
  sharedAttention,
} from "./attention.js";
export { causalMask } from "./causal-mask.js";
export {
  type AttentionInput,
  type AttentionStrategy,
  decoderLayer,
  type LayerWeights,
  layerWeights,
  type ProjectionStrategy,
} from "./decoder.js";
export { embeddingName, finalNormName, headName, layerPrefix } from "./names.js";
export { rotaryTables } from "./rotary-tables.js";
