export { type ProviderStatus, providerStatuses } from "./device/index.js";
export { estimateGenerationMemory, type GenerationDemand, type GenerationEstimate } from "./generation/index.js";
export { loadModel } from "./language-model.js";
export { AbortError, type RuntimeInfo, runtimeInfo } from "./runtime/index.js";
export {
  defaultMemoryBytes,
  estimateTrainingMemory,
  type MemoryDemand,
  type MemoryEstimate,
  machineMemoryBytes,
  peakBytes,
} from "./training/index.js";
export type * from "./types.js";
export type { LoraConfig, LoraTarget, ModelConfig } from "./weights/index.js";
export { isAdapterDirectory, loraConfig, parseModelConfig, readAdapterDescription } from "./weights/index.js";
