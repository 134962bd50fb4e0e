/** What the critics said, how it compares with the verifier, and what it cost. */
import type { GroupFlag, IndexProgress } from "./groups.js";

export interface CriticRow {
  readonly kind: string;
  readonly critiques: number;
  /** Fell back to `simple_gt`. */
  readonly failures: number;
  readonly meanCharacters: number;
  /** How often the critic's verdict was that of the verifier; null for critics that do not judge. */
  readonly verdicts: {
    readonly bothRight: number;
    readonly bothWrong: number;
    readonly onlyCriticRight: number;
    readonly onlyVerifierRight: number;
  } | null;
  readonly leaks: number | null;
  /** Refinements of wrong responses that had such a critique, and those that got it right. */
  readonly refinedWrong: number;
  readonly fixed: number;
  readonly latencyMs: {
    readonly mean: number;
    readonly median: number;
    readonly p95: number;
    readonly max: number;
  } | null;
  readonly tokens: number | null;
  readonly cost: number | null;
}

export interface CritiqueExample {
  readonly step: number;
  readonly line: number;
  readonly flag: GroupFlag;
  readonly questionId: string;
}

export interface CritiqueReport {
  readonly critics: readonly CriticRow[];
  /** Newest groups to look at: disagreements, leaks, failures. */
  readonly examples: readonly CritiqueExample[];
  readonly index: IndexProgress;
}
