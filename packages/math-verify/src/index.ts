export {
  type ChoiceOptions,
  extractChoice,
  GPQA_LETTERS,
  gradeChoice,
  gradeGpqa,
  gradeMmluPro,
  MMLU_PRO_LETTERS,
} from "./choice/choice.js";
export { type ExtractionTarget, type ExtractOptions, optionsFromRecord, type VerifyOptions } from "./options.js";
export type { Node } from "./parse/nodes.js";
export { type Answer, extract, parse, parseAnswer } from "./parse.js";
export { type RecordResult, type VerificationRecord, verifyRecord } from "./record.js";
export { checkGold, compareAnswers, type Outcome, type Verdict, verify } from "./verify.js";
