export * from "./config/define.js";
export { ConfigError, InputError } from "./config/errors.js";
export type * from "./config/schema.js";
export type * from "./data/question.js";
export { evaluate } from "./evaluation/evaluate.js";
export type * from "./evaluation/types.js";
