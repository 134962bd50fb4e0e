/** Natural-language feedback: who writes the words. */
import type { Question } from "../../data/question.js";
import type { Policy, TextCodec } from "../../policy/policy.js";
import type { Critique, InitialResponse } from "../../rollout/records.js";

export interface CritiqueRequest {
  readonly question: Question;
  /** The response to be judged, with its reward. */
  readonly response: InitialResponse;
  /** For critics that sample: the same seed gives the same critique, whatever else is in the batch. */
  readonly seed: number;
}

/** The run that a critic writes for. */
export interface CriticRun {
  readonly policy: Policy;
  readonly codec: TextCodec;
  /** Where the critic may keep what it must know after a crash; null: nothing is kept. */
  readonly runDirectory: string | null;
}

/**
 * Writes one critique a request, in the order of the requests. A critic that fails on one of them returns its fallback
 * with the reason in `Critique.failure`; it throws only when the whole run cannot go on, and AbortError on abort.
 */
export interface Critic {
  /**
   * Rounds of refining whose critiques are asked for while an earlier round is still sampled (default 0): for critics
   * that take their time elsewhere. Such a critique may turn out not to be needed.
   */
  readonly ahead?: number;
  critique(requests: readonly CritiqueRequest[], options?: { signal?: AbortSignal }): Promise<readonly Critique[]>;
  /** `train()` calls it before the first step: loads what is needed. @throws InputError if that is not to be had. */
  open?(run: CriticRun): Promise<void>;
  /** `train()` calls it at the end, also after an error. */
  close?(): Promise<void>;
}

/** "The generated solution is correct." or "… is incorrect." */
export function simpleCritique(correct: boolean): string {
  return `The generated solution is ${correct ? "correct" : "incorrect"}.`;
}

/** "The generated solution is correct, the ground truth is {gold}." or "… is incorrect, …" */
export function simpleGroundTruthCritique(correct: boolean, gold: string): string {
  return `The generated solution is ${correct ? "correct" : "incorrect"}, the ground truth is ${gold}.`;
}

/** The sentence of `simple_gt`; that of `simple` for a question without a gold answer. */
export function plainCritique({ question, response }: CritiqueRequest): Critique {
  const { correct } = response.reward;
  return question.gold === ""
    ? { kind: "simple", text: simpleCritique(correct) }
    : { kind: "simple_gt", text: simpleGroundTruthCritique(correct, question.gold) };
}

/** The critique that stands in for one that failed, counted by its reason. */
export function fallbackCritique(request: CritiqueRequest, failure: string): Critique {
  return { ...plainCritique(request), failure };
}
