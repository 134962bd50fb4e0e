export { type BatchAttentionInputs, batchAttention } from "./attention.js";
export { type AttentionInput, type AttentionStrategy, decoderLayer, type LayerWeights } from "./decoder.js";
export { embeddingName, finalNormName, headName, layerPrefix } from "./names.js";
export { rotaryTables } from "./rotary-tables.js";
