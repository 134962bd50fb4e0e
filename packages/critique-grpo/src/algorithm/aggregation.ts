/** How the losses of single tokens become one number. */

export type Aggregation = "constant-length" | "token-mean" | "seq-mean-token-sum" | "seq-mean-token-mean";

/**
 * The weight of each token of each sequence, one number a sequence, computed over the whole mini-batch: micro-batches
 * cannot change it. `maxLength` is the constant of `constant-length`. A sequence without tokens has weight 0.
 */
export function sequenceWeights(lengths: readonly number[], aggregation: Aggregation, maxLength: number): number[] {
  const sequences = lengths.length;
  switch (aggregation) {
    case "constant-length":
      return lengths.map(() => 1 / (sequences * maxLength));
    case "token-mean": {
      const tokens = lengths.reduce((sum, length) => sum + length, 0);
      return lengths.map(() => (tokens === 0 ? 0 : 1 / tokens));
    }
    case "seq-mean-token-sum":
      return lengths.map(() => 1 / sequences);
    case "seq-mean-token-mean":
      return lengths.map((length) => (length === 0 ? 0 : 1 / (sequences * length)));
    default:
      throw new RangeError(`Unknown aggregation ${String(aggregation satisfies never)}`);
  }
}
