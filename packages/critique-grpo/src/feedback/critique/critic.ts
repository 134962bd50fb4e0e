/** Natural-language feedback: who writes the words. */
import type { Question } from "../../data/question.js";
import type { Critique, InitialResponse } from "../../rollout/records.js";

export interface CritiqueRequest {
  readonly question: Question;
  /** The response to be judged, with its reward. */
  readonly response: InitialResponse;
  /** For critics that sample: the same seed gives the same critique, whatever else is in the batch. */
  readonly seed: number;
}

/**
 * Writes one critique a request, in the order of the requests. A critic that fails on one of them returns its fallback
 * with the reason in `Critique.failure`; it throws only when the whole run cannot go on, and AbortError on abort.
 */
export interface Critic {
  critique(requests: readonly CritiqueRequest[], options?: { signal?: AbortSignal }): Promise<readonly Critique[]>;
}

/** "The generated solution is correct." or "… is incorrect." */
export function simpleCritique(correct: boolean): string {
  return `The generated solution is ${correct ? "correct" : "incorrect"}.`;
}

/** "The generated solution is correct, the ground truth is {gold}." or "… is incorrect, …" */
export function simpleGroundTruthCritique(correct: boolean, gold: string): string {
  return `The generated solution is ${correct ? "correct" : "incorrect"}, the ground truth is ${gold}.`;
}

/** The critique that stands in for one that failed: `simple_gt`, counted by its reason. */
export function fallbackCritique(request: CritiqueRequest, failure: string): Critique {
  const { question, response } = request;
  return { kind: "simple_gt", text: simpleGroundTruthCritique(response.reward.correct, question.gold), failure };
}
