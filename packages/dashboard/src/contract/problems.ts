/** One question through the whole training. */
import type { GroupFlag, IndexProgress } from "./groups.js";

export type ProblemOutcome = "solved" | "only-refined" | "never";
export const PROBLEM_OUTCOMES: readonly ProblemOutcome[] = ["never", "only-refined", "solved"];

export interface ProblemSummary {
  readonly questionId: string;
  readonly dataSource: string;
  /** Beginning of the question. */
  readonly question: string;
  readonly gold: string;
  /** Steps that trained on it. */
  readonly visits: number;
  readonly firstStep: number;
  readonly lastStep: number;
  /** First step with a right initial response, null if there is none. */
  readonly firstSolved: number | null;
  /** First step with a right refinement. */
  readonly firstRefined: number | null;
  readonly outcome: ProblemOutcome;
  /** Fraction of right initial responses over all visits. */
  readonly accuracy: number;
  /** … at the newest visit. */
  readonly lastAccuracy: number;
}

export interface ProblemPage {
  readonly problems: readonly ProblemSummary[];
  readonly matching: number;
  readonly total: number;
  readonly counts: Readonly<Record<ProblemOutcome, number>>;
  readonly index: IndexProgress;
}

export interface ProblemVisit {
  readonly step: number;
  readonly line: number;
  readonly initialCount: number;
  readonly initialCorrect: number;
  readonly refinementCount: number;
  readonly refinementCorrect: number;
  readonly flags: readonly GroupFlag[];
}

/** The response that first got the question right, and what led to it. */
export interface Breakthrough {
  readonly step: number;
  readonly line: number;
  readonly kind: "initial" | "refinement";
  readonly index: number;
  readonly text: string;
  /** Of a refinement: the response it started from and the critique it was given. */
  readonly from: { readonly index: number; readonly text: string; readonly critique: string | null } | null;
}

export interface ProblemHistory {
  readonly problem: ProblemSummary;
  readonly text: string;
  readonly visits: readonly ProblemVisit[];
  readonly firstSolved: Breakthrough | null;
  readonly firstRefined: Breakthrough | null;
  readonly index: IndexProgress;
}
