/** Request and response types of the Tinker protocol, for clients and servers alike. */
export * from "./paths.js";
export * from "./sampling.js";
export * from "./tensors.js";
export * from "./training.js";
export * from "./wire.js";
