/** Counter-based randomness: every draw has its own seed, so that there is no generator state to save or to share. */
import { createHash } from "node:crypto";

/** A seed in [0, 2³¹) from the parts that name a draw, for example (run seed, step, question id, phase, index). */
export function deriveSeed(...parts: readonly (string | number)[]): number {
  return createHash("sha256").update(JSON.stringify(parts)).digest().readUInt32LE(0) >>> 1;
}

/** A permutation of 0 … length − 1 that depends on the seed alone (Fisher–Yates over splitmix32). */
export function seededPermutation(length: number, seed: number): Uint32Array {
  const order = Uint32Array.from({ length }, (_, index) => index);
  let state = seed | 0;
  const next = () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = state ^ (state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
  for (let i = length - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

/**
 * The rows of a training step (from 0): the data set in a fresh permutation each epoch, without gaps. A pure function
 * of the step, so a resumed run continues where it was.
 */
export function batchIndices(seed: number, step: number, batchSize: number, rows: number): number[] {
  const indices: number[] = [];
  let epoch = -1;
  let order: ArrayLike<number> = [];
  for (let position = step * batchSize; position < (step + 1) * batchSize; position++) {
    const current = Math.floor(position / rows);
    if (current !== epoch) {
      epoch = current;
      order = seededPermutation(rows, deriveSeed(seed, "order", epoch));
    }
    indices.push(order[position % rows]!);
  }
  return indices;
}
