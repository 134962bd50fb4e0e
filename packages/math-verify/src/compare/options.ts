import type { Tolerance } from "./values.js";

export interface CompareOptions extends Tolerance {
  /** With false, variables are matched by position, so f(x) equals f(y), and sets may equal tuples. */
  readonly strict: boolean;
  /** A relation as prediction may meet a set as gold: −2 ≤ x ≤ 7 for [−2, 7]. */
  readonly allowSetRelationComparison: boolean;
}
