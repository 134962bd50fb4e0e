export { type ExtractionTarget, type ExtractOptions, optionsFromRecord, type VerifyOptions } from "./options.js";
export type { Node } from "./parse/nodes.js";
export { type Answer, extract, parse, parseAnswer } from "./parse.js";
export { checkGold, type Outcome, type Verdict, verify } from "./verify.js";
