export { type BatchAttentionInputs, batchAttention } from "./attention.js";
export { type AttentionInput, type AttentionStrategy, decoderLayer, type LayerWeights } from "./decoder.js";
export {
  type DecoderShape,
  embeddingName,
  finalNormName,
  headName,
  layerParameters,
  layerPrefix,
  modelParameters,
  type ParameterSpecification,
} from "./decoder-shape.js";
