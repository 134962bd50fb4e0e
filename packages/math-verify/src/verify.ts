import { equalAnswers } from "./compare/compare.js";
import { type ResolvedOptions, resolveOptions, type VerifyOptions } from "./options.js";
import type { Node } from "./parse/nodes.js";
import { type Answer, findAnswer, sameText } from "./parse.js";

/** How a verification ended. "timeout" comes from the worker pool only. */
export type Outcome = "correct" | "incorrect" | "unverifiable" | "error" | "timeout";

export interface Verdict {
  readonly correct: boolean;
  /** "unverifiable": the gold answer could not be parsed, so a mismatch proves nothing. */
  readonly outcome: Outcome;
  /** One sentence for a log or a person. */
  readonly reason: string;
  /** The text of the gold answer that was compared, or null. */
  readonly gold: string | null;
  /** The text of the answer found in the prediction, or null. */
  readonly prediction: string | null;
}

/**
 * Compares the answer in a prediction with the answer in a gold text.
 *
 * Synchronous and deterministic; never throws for any text unless `raiseOnError` is set. Throws
 * RangeError for options that cannot be meant.
 */
export function verify(gold: string, prediction: string, options: VerifyOptions = {}): Verdict {
  const resolved = resolveOptions(options);
  try {
    return verifyResolved(gold, prediction, resolved);
  } catch (error) {
    if (resolved.raiseOnError) throw error;
    const message = error instanceof Error ? error.message : String(error);
    return { correct: false, outcome: "error", reason: `internal error: ${message}`, gold: null, prediction: null };
  }
}

function verifyResolved(gold: string, prediction: string, options: ResolvedOptions): Verdict {
  const expected = findAnswer(gold, options, "gold");
  const found = findAnswer(prediction, options, "prediction");
  const texts = { gold: expected?.text ?? null, prediction: found?.text ?? null };
  if (expected === null)
    return { correct: false, outcome: "unverifiable", reason: "no answer found in the gold text", ...texts };
  if (found === null) {
    return expected.node === null
      ? { correct: false, outcome: "unverifiable", reason: `gold cannot be parsed: ${expected.problem}`, ...texts }
      : { correct: false, outcome: "incorrect", reason: "no answer found in the prediction", ...texts };
  }
  if (matches(expected, found, options)) return { correct: true, outcome: "correct", reason: "equal", ...texts };
  if (sameText(expected.text, found.text)) return { correct: true, outcome: "correct", reason: "same text", ...texts };
  if (expected.node === null) {
    return { correct: false, outcome: "unverifiable", reason: `gold cannot be parsed: ${expected.problem}`, ...texts };
  }
  const reason = found.node === null ? `prediction cannot be parsed: ${found.problem}` : "not equal";
  return { correct: false, outcome: "incorrect", reason, ...texts };
}

/** Whether two parsed answers are equal in some reading of each. */
export function matches(expected: Answer, found: Answer, options: ResolvedOptions): boolean {
  if (expected.node === null || found.node === null) return false;
  if (equalAnswers(expected.node, found.node, options)) return true;
  const golds: readonly Node[] = [expected.node, ...expected.alternatives];
  const predictions: readonly Node[] = [found.node, ...found.alternatives];
  for (const gold of golds) {
    for (const prediction of predictions) {
      if (gold === expected.node && prediction === found.node) continue;
      if (equalAnswers(gold, prediction, options)) return true;
    }
  }
  return false;
}

/** Whether a gold answer can be verified against at all, and why not. */
export function checkGold(
  gold: string,
  options: VerifyOptions = {},
): { readonly verifiable: boolean; readonly reason: string } {
  const answer = findAnswer(gold, resolveOptions(options), "gold");
  if (answer === null) return { verifiable: false, reason: "no answer found" };
  return answer.node === null ? { verifiable: false, reason: answer.problem } : { verifiable: true, reason: "" };
}

/**
 * Compares two answers that are already parsed, with neither extraction nor parsing: for one gold
 * against many predictions, or in inner loops.
 */
export function compareAnswers(gold: Answer, prediction: Answer, options: VerifyOptions = {}): Verdict {
  const texts = { gold: gold.text, prediction: prediction.text };
  if (gold.node === null)
    return { correct: false, outcome: "unverifiable", reason: `gold cannot be parsed: ${gold.problem}`, ...texts };
  if (prediction.node === null)
    return {
      correct: false,
      outcome: "incorrect",
      reason: `prediction cannot be parsed: ${prediction.problem}`,
      ...texts,
    };
  const correct = matches(gold, prediction, resolveOptions(options));
  return { correct, outcome: correct ? "correct" : "incorrect", reason: correct ? "equal" : "not equal", ...texts };
}
