import type { ModelConfig } from "../weights/index.js";
import { activationNumbers } from "./trunk-plan.js";

/**
 * Padded tokens in a micro-batch unless the caller says otherwise. Small enough that a layer's activations stay near the
 * caches (config S of the benchmarks: 512 to 1024 are fastest, 2048 takes a fifth longer), large enough for the products.
 */
const MAX_MICRO_BATCH_TOKENS = 1024;
const MIN_MICRO_BATCH_TOKENS = 128;
/** What the kept activations of all lanes may take; large models get smaller micro-batches. */
const ACTIVATION_BYTES = 1024 * 1024 * 1024;

/** Tokens of a micro-batch unless the caller says otherwise. */
export function defaultMicroBatchTokens(config: ModelConfig, laneCount: number): number {
  const bytesPerToken = 4 * laneCount * config.layerCount * activationNumbers(config, 1);
  const affordable = Math.floor(ACTIVATION_BYTES / bytesPerToken);
  return Math.max(MIN_MICRO_BATCH_TOKENS, Math.min(MAX_MICRO_BATCH_TOKENS, affordable));
}

/** Sequences that run through the network together, padded on the right to the longest of them. */
export interface MicroBatch {
  /** Indices into the list the plan was made for. */
  readonly members: readonly number[];
  /** Input tokens of the longest member. */
  readonly time: number;
}

/**
 * What a micro-batch costs beside its tokens, in tokens: the weights are read, laid out for the products and added to once
 * more. That and a token's arithmetic are both proportional to the number of weights, so one number serves all models.
 */
export const MICRO_BATCH_OVERHEAD_TOKENS = 16;

/**
 * Groups sequences of similar length so that members × longest stays within a token budget. A sequence longer than the
 * budget runs alone. Of all ways to cut the list in order of length, the one with the least work is taken: padding against
 * the overhead of another micro-batch. The plan depends on the lengths alone: the same input always gives the same one.
 */
export function planMicroBatches(lengths: readonly number[], tokenBudget: number): readonly MicroBatch[] {
  const order = lengths.map((_, index) => index).sort((a, b) => lengths[b]! - lengths[a]! || a - b);
  // Longest first: the first member of a batch decides its padded length. least[i]: work of order[i], order[i + 1], …
  const least = new Float64Array(order.length + 1);
  const ends = new Int32Array(order.length);
  for (let start = order.length - 1; start >= 0; start--) {
    const time = lengths[order[start]!]!;
    const most = Math.min(order.length - start, Math.max(1, Math.floor(tokenBudget / time)));
    least[start] = Number.POSITIVE_INFINITY;
    for (let count = most; count >= 1; count--) {
      const work = MICRO_BATCH_OVERHEAD_TOKENS + count * time + least[start + count]!;
      if (work >= least[start]!) continue;
      least[start] = work;
      ends[start] = start + count;
    }
  }
  const batches: MicroBatch[] = [];
  for (let start = 0; start < order.length; start = ends[start]!)
    batches.push({ members: order.slice(start, ends[start]), time: lengths[order[start]!]! });
  return batches;
}
