export { loadModel } from "./language-model.js";
export { AbortError, type RuntimeInfo, runtimeInfo } from "./runtime/index.js";
export type * from "./types.js";
export { type LoraConfig, type LoraTarget, loraTargets } from "./weights/index.js";
