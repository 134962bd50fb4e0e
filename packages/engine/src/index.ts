export { type ProviderStatus, providerStatuses } from "./device/index.js";
export { loadModel } from "./language-model.js";
export { AbortError, type RuntimeInfo, runtimeInfo } from "./runtime/index.js";
export {
  defaultMemoryBytes,
  estimateTrainingMemory,
  type MemoryDemand,
  type MemoryEstimate,
  peakBytes,
} from "./training/index.js";
export type * from "./types.js";
export type { LoraConfig, LoraTarget } from "./weights/index.js";
export { loraConfig, parseModelConfig } from "./weights/index.js";
