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

/** Neighbours in a list that would run together: how many, and the work. */
interface Candidate {
  readonly count: number;
  readonly work: number;
}

/**
 * Of all ways to cut a list into micro-batches, the one with the least work. `from(start)` gives the micro-batches of one,
 * two, … items from `start` on, as far as they are allowed.
 */
export function cheapestCut<C extends Candidate>(length: number, from: (start: number) => Iterable<C>): C[] {
  // least[i]: work of the items from i on, with best[i] first.
  const least = new Float64Array(length + 1);
  const best: C[] = new Array(length);
  for (let start = length - 1; start >= 0; start--) {
    least[start] = Number.POSITIVE_INFINITY;
    for (const candidate of from(start)) {
      const work = candidate.work + least[start + candidate.count]!;
      if (work >= least[start]!) continue;
      least[start] = work;
      best[start] = candidate;
    }
  }
  const taken: C[] = [];
  for (let start = 0; start < length; start += best[start]!.count) taken.push(best[start]!);
  return taken;
}

/** Indices of a list in order of length, the longest first. */
export function orderByLength(lengths: readonly number[]): number[] {
  return lengths.map((_, index) => index).sort((a, b) => lengths[b]! - lengths[a]! || a - b);
}

/**
 * Groups sequences of similar length so that members × longest stays within a token budget. A sequence longer than the
 * budget runs alone. Padding is weighed against the overhead of another micro-batch. The plan depends on the lengths alone:
 * the same input always gives the same one.
 */
export function planMicroBatches(lengths: readonly number[], tokenBudget: number): readonly MicroBatch[] {
  const order = orderByLength(lengths);
  const cut = cheapestCut(order.length, function* (start) {
    // The first is the longest: it decides the padded length.
    const time = lengths[order[start]!]!;
    const most = Math.min(order.length - start, Math.max(1, Math.floor(tokenBudget / time)));
    for (let count = 1; count <= most; count++)
      yield { start, count, time, work: MICRO_BATCH_OVERHEAD_TOKENS + count * time };
  });
  return cut.map(({ start, count, time }) => ({ members: order.slice(start, start + count), time }));
}
