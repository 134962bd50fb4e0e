/** What the quickstart measures: the content of summary.json. */

/** Fractions in [0, 1] of the questions (pass1: mean over questions of the fraction of right samples). */
export interface Accuracy {
  readonly greedy: number;
  readonly pass1: number;
  readonly pass8: number;
}

export interface Measurement {
  /** Questions of the training distribution that were never trained. */
  readonly heldOut: Accuracy;
  /** Greedy accuracy on questions with exactly one carry, a kind that is never trained. */
  readonly outOfDistribution: number;
  /** Training questions without a right answer in 8 samples. */
  readonly persistentFailures: number;
}

export const METHODS = ["dr-grpo", "critique-grpo"] as const;
export type Method = (typeof METHODS)[number];

/** One method on one seed. */
export interface MethodRecord extends Measurement {
  readonly method: Method;
  readonly seed: number;
  /** Tokens drawn in training, refinements included. */
  readonly sampledTokens: number;
  /** Wall time of training and of the measurement after it. */
  readonly seconds: number;
  /** The same measurement of the warm-up model, from which both methods start. */
  readonly before: Measurement;
  /** Held-out greedy accuracy (on the first questions only) while training. */
  readonly curve: readonly { readonly step: number; readonly sampledTokens: number; readonly greedy: number }[];
}

/** Means over seeds. @throws RangeError on an empty list. */
export function meanMeasurement(measurements: readonly Measurement[]): Measurement {
  if (measurements.length === 0) throw new RangeError("a mean needs at least one measurement");
  const mean = (pick: (measurement: Measurement) => number) =>
    measurements.reduce((sum, measurement) => sum + pick(measurement), 0) / measurements.length;
  return {
    heldOut: {
      greedy: mean((m) => m.heldOut.greedy),
      pass1: mean((m) => m.heldOut.pass1),
      pass8: mean((m) => m.heldOut.pass8),
    },
    outOfDistribution: mean((m) => m.outOfDistribution),
    persistentFailures: mean((m) => m.persistentFailures),
  };
}

/** Greedy held-out accuracy of Critique-GRPO minus that of Dr. GRPO, a seed; only seeds that have both. */
export function advantages(records: readonly MethodRecord[]): { readonly seed: number; readonly difference: number }[] {
  return records
    .filter((record) => record.method === "critique-grpo")
    .flatMap(({ seed, heldOut }) => {
      const other = records.find((record) => record.method === "dr-grpo" && record.seed === seed);
      return other ? [{ seed, difference: heldOut.greedy - other.heldOut.greedy }] : [];
    });
}

/** "above" means by more than this: about three standard errors of a difference of two fractions of 512 questions. */
const CLEAR_DIFFERENCE = 0.08;

/** One sentence that says how it came out, also if it came out badly. */
export function verdict(records: readonly MethodRecord[]): string {
  const found = advantages(records);
  if (found.length === 0) return "No seed has both methods: nothing to compare.";
  const clear = found.filter(({ difference }) => difference > CLEAR_DIFFERENCE).length;
  const mean = found.reduce((sum, { difference }) => sum + difference, 0) / found.length;
  const points = `${mean >= 0 ? "+" : "−"}${Math.abs(100 * mean).toFixed(1)} points on average`;
  return `Critique-GRPO is clearly above Dr. GRPO on held-out questions in ${clear} of ${found.length} seeds (greedy, ${points}).`;
}
