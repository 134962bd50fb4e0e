import type { ModelConfig } from "../weights/index.js";
import { MICRO_BATCH_OVERHEAD_TOKENS } from "./micro-batches.js";

/** An input as the plan sees it. */
export interface InputShape {
  readonly length: number;
  /** Inputs with the same number start with the same `promptLength` tokens. */
  readonly prompt: number;
  readonly promptLength: number;
}

/** Inputs that run through the network together; the rows are those of `rowLayout`. */
export interface RowBatch {
  /** Indices into the list that the plan was made for. */
  readonly members: readonly number[];
  /** Rows, of which so many are padding. */
  readonly rows: number;
  readonly padding: number;
  /** Tokens of the members, shared or not. */
  readonly tokens: number;
  readonly work: number;
}

/** What rows and attention's slots cost, in units of a row. */
export interface RowCosts {
  /** Time for a slot of a grid that is so long. */
  slotWork(time: number): number;
  /** Memory of a row without its slot, as a share of what a row of a grid of that length takes. */
  rowShare(time: number): number;
}

/** Work and memory per row and slot of a model, from the sizes of its layers. */
export function rowCosts(config: ModelConfig): RowCosts {
  const { hiddenSize, intermediateSize, headCount, keyValueHeadCount, headDimension } = config;
  const [query, keys] = [headCount * headDimension, keyValueHeadCount * headDimension];
  const weights = hiddenSize * (2 * query + 2 * keys + 3 * intermediateSize);
  const rowNumbers = 2 * intermediateSize + hiddenSize + query + keys;
  const slotNumbers = (time: number) => 2 * query + 2 * keys + (time <= KEPT_TIME ? headCount * time : 0);
  return {
    // Products with all keys of a row (blocks skip about half), twice for softmax, masks and small matrices.
    slotWork: (time) => (4 * query * (Math.min(time, KEPT_TIME) + Math.max(0, time - KEPT_TIME) / 2)) / weights,
    rowShare: (time) => rowNumbers / (rowNumbers + slotNumbers(time)),
  };
}

/** Up to here attention's probabilities are kept; see `BLOCK_ROWS`. */
const KEPT_TIME = 256;

/** What a micro-batch may be. An input that is larger runs alone. */
export interface RowBudget {
  readonly rows: number;
  /** Tokens of a grid that take as much memory. */
  readonly memory: number;
}

/**
 * Puts inputs together in micro-batches within the budget. Two orders are cut in the best way, and the one with less work is taken: by
 * length, which leaves little padding in attention's grid; and prompt by prompt, so that prompts are computed once.
 */
export function planRowBatches(inputs: readonly InputShape[], budget: RowBudget, costs: RowCosts): readonly RowBatch[] {
  const byLength = cut(inputs, orderByLength(inputs), budget, costs);
  const shared = orderByPrompt(inputs);
  if (shared === undefined) return byLength;
  const byPrompt = cut(inputs, shared, budget, costs);
  return totalWork(byPrompt) < totalWork(byLength) ? byPrompt : byLength;
}

function totalWork(batches: readonly RowBatch[]): number {
  return batches.reduce((sum, { work }) => sum + work, 0);
}

function orderByLength(inputs: readonly InputShape[]): number[] {
  return inputs.map((_, index) => index).sort((a, b) => inputs[b]!.length - inputs[a]!.length || a - b);
}

/** Undefined if no two inputs have a prompt in common. */
function orderByPrompt(inputs: readonly InputShape[]): number[] | undefined {
  const groups = new Map<number, { readonly first: number; longest: number }>();
  for (const [first, { prompt, length }] of inputs.entries()) {
    const group = groups.get(prompt);
    if (group) group.longest = Math.max(group.longest, length);
    else groups.set(prompt, { first, longest: length });
  }
  if (groups.size === inputs.length) return undefined;
  const groupOf = (index: number) => groups.get(inputs[index]!.prompt)!;
  return orderByLength(inputs).sort((a, b) => {
    const [left, right] = [groupOf(a), groupOf(b)];
    return right.longest - left.longest || left.first - right.first;
  });
}

/** Cuts the list in that order so that the work, a fixed overhead a micro-batch included, is least. */
function cut(inputs: readonly InputShape[], order: readonly number[], budget: RowBudget, costs: RowCosts): RowBatch[] {
  // least[i]: work of order[i], order[i + 1], …
  const least = new Float64Array(order.length + 1);
  const best: RowBatch[] = new Array(order.length);
  for (let start = order.length - 1; start >= 0; start--) {
    least[start] = Number.POSITIVE_INFINITY;
    for (const batch of growing(inputs, order, start, costs)) {
      const count = batch.members;
      if (count > 1 && (batch.rows > budget.rows || batch.memory > budget.memory)) break;
      const work = batch.work + least[start + count]!;
      if (work >= least[start]!) continue;
      least[start] = work;
      const { rows, padding, tokens } = batch;
      best[start] = { members: order.slice(start, start + count), rows, padding, tokens, work: batch.work };
    }
  }
  const batches: RowBatch[] = [];
  for (let start = 0; start < order.length; start += best[start]!.members.length) batches.push(best[start]!);
  return batches;
}

/** Micro-batches of one, two, … inputs from `start` on. */
function* growing(inputs: readonly InputShape[], order: readonly number[], start: number, costs: RowCosts) {
  const uses = new Map<number, number>();
  let [tokens, own, longest, shortest] = [0, 0, 0, Number.POSITIVE_INFINITY];
  for (let end = start; end < order.length; end++) {
    const { length, prompt, promptLength } = inputs[order[end]!]!;
    const known = uses.get(prompt) ?? 0;
    uses.set(prompt, known + 1);
    tokens += length;
    own += known > 0 ? length - promptLength : length;
    longest = Math.max(longest, length);
    shortest = Math.min(shortest, length);
    const members = end - start + 1;
    const isGrid = own === tokens && shortest === longest;
    const time = isGrid || shortest < longest ? longest : longest + 1;
    const padding = isGrid ? 0 : 1;
    const rows = own + padding;
    const slots = members * time;
    const share = costs.rowShare(time);
    const work = MICRO_BATCH_OVERHEAD_TOKENS + rows + costs.slotWork(time) * slots;
    yield { members, rows, padding, tokens, work, memory: rows * share + slots * (1 - share) };
  }
}

/**
 * Distributes the work over lanes that run side by side: micro-batches small enough that every lane gets a share, each
 * given to the lane with the least work so far. The plan depends on lengths and prompts alone: the same input always
 * gives the same one.
 */
export function planLanes(
  inputs: readonly InputShape[],
  budget: number,
  laneCount: number,
  costs: RowCosts,
): readonly RowBatch[][] {
  const prompts = new Set<number>();
  // A prompt that is cut in two is computed twice, and each micro-batch may have a row of padding.
  let slack = inputs.every(({ length }) => length === inputs[0]!.length) ? 0 : 1;
  const total = inputs.reduce((sum, { length, prompt, promptLength }) => {
    const isShared = prompts.has(prompt);
    if (isShared) slack = Math.max(slack, promptLength + 1);
    prompts.add(prompt);
    return sum + (isShared ? length - promptLength : length);
  }, 0);
  const rounds = Math.max(1, Math.ceil(total / (budget * laneCount)));
  const evenBudget = Math.min(budget, Math.ceil(total / (rounds * laneCount)) + slack);
  const lanes = Array.from({ length: laneCount }, () => ({ batches: [] as RowBatch[], work: 0 }));
  for (const batch of planRowBatches(inputs, { rows: evenBudget, memory: budget }, costs)) {
    const lane = lanes.reduce((least, other) => (other.work < least.work ? other : least));
    lane.batches.push(batch);
    lane.work += batch.work;
  }
  return lanes.map(({ batches }) => batches);
}
