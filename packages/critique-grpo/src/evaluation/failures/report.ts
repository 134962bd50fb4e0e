/** The numbers of a failure analysis. Pure. */

import type { Response } from "../../rollout/records.js";
import { bootstrapMean } from "../../statistics/bootstrap.js";
import { passAtK } from "../pass-at-k.js";
import type { Estimate } from "../types.js";
import type { Attempt } from "./analyse.js";

export interface CriticReport {
  /** "none": further tries without a critique. */
  readonly critic: string;
  readonly critiques: number;
  /**
   * Critiques that are no fallback and whose conclusion is the verifier's (that the response is wrong); kinds of critique
   * that draw none are valid if they were written. NaN for "none".
   */
  readonly validCritiques: number;
  readonly validCritiqueRate: number;
  /** Of the critiques: those that state the gold answer, where that was looked for. */
  readonly leaks: number;
  /** Refinements that were drawn; for "none" the further tries. */
  readonly refinements: number;
  readonly rightRefinements: number;
  /** Right refinements over all that were drawn. */
  readonly validRefinementRate: number;
  /** Responses that could not be refined: no room in the context. */
  readonly skipped: number;
  /** Persistently failed questions with at least one right refinement. */
  readonly solved: number;
  /** Over all persistently failed questions, with a 95 % bootstrap interval over them. */
  readonly solvedRate: Estimate;
}

export interface FailureReport {
  readonly questions: number;
  readonly tries: number;
  /** Mean over questions of the fraction of right tries. */
  readonly pass1: Estimate;
  /** pass@k at k = tries: the fraction of questions solved at all. */
  readonly passAtTries: Estimate;
  /** Questions without a right response in all tries. */
  readonly failed: number;
  /** Their ids. */
  readonly failedQuestions: readonly string[];
  /** How many of a failed question's tries were refined by each critic. */
  readonly refinedTries: number;
  readonly critics: readonly CriticReport[];
}

export function failureReport(attempts: readonly Attempt[], tries: number, refinedTries: number): FailureReport {
  const base = attempts.filter(({ stage }) => stage === "base");
  const right = base.map(({ initial }) => initial.filter(({ reward }) => reward.correct).length);
  const failedQuestions = base.filter((_, index) => right[index] === 0).map(({ question }) => question.id);
  const stages = [...new Set(attempts.map(({ stage }) => stage))].filter((stage) => stage !== "base");
  return {
    ...{ questions: base.length, tries, failed: failedQuestions.length, failedQuestions, refinedTries },
    pass1: bootstrapMean(right.map((count) => count / tries)),
    passAtTries: bootstrapMean(right.map((count) => passAtK(tries, count, tries))),
    critics: stages.map((stage) =>
      criticReport(
        stage,
        attempts.filter((attempt) => attempt.stage === stage),
      ),
    ),
  };
}

function criticReport(critic: string, attempts: readonly Attempt[]): CriticReport {
  const further = critic === "none";
  const responses = attempts.flatMap(({ initial }) => initial);
  const critiques = responses.flatMap(({ critique }) => (critique === undefined ? [] : [critique]));
  const valid = critiques.filter(
    ({ failure, verdict, agreement }) => failure === undefined && verdict !== null && agreement !== false,
  );
  const answersOf = (attempt: Attempt): readonly Response[] => (further ? attempt.initial : attempt.refinements);
  const answers = attempts.flatMap(answersOf);
  const rightAnswers = answers.filter(({ reward }) => reward.correct);
  const solved = attempts.map((attempt) => (answersOf(attempt).some(({ reward }) => reward.correct) ? 1 : 0));
  return {
    critic,
    critiques: critiques.length,
    validCritiques: further ? Number.NaN : valid.length,
    validCritiqueRate: valid.length / critiques.length,
    leaks: critiques.filter(({ leak }) => leak === true).length,
    refinements: answers.length,
    rightRefinements: rightAnswers.length,
    validRefinementRate: rightAnswers.length / answers.length,
    skipped: responses.filter(({ refinementSkipped }) => refinementSkipped !== undefined).length,
    solved: solved.filter((value) => value === 1).length,
    solvedRate: bootstrapMean(solved),
  };
}
