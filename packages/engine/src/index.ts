export { loadModel } from "./language-model.js";
export { AbortError } from "./runtime/index.js";
export type * from "./types.js";
