import type { Question } from "../data/question.js";
import type { Policy, TextCodec } from "../policy/policy.js";
import { policyGenerator } from "./generators/policy.js";
import { measure } from "./measure.js";
import type { EvaluationOptions, EvaluationResult } from "./types.js";

/**
 * Samples `options.samples` responses of the policy to each question (and a greedy one if asked), scores them, and
 * returns the summary with every response. The same seed gives the same result whatever `batchSequences` is.
 * @throws RangeError on impossible options, AbortError when the signal aborts
 */
export function evaluate(
  policy: Policy,
  codec: TextCodec,
  questions: readonly Question[],
  { score, samples, ...options }: EvaluationOptions,
): Promise<EvaluationResult> {
  const set = { name: "questions", questions, samples, verifier: { name: "score", score } };
  return measure(policyGenerator(policy, codec), [set], options);
}
