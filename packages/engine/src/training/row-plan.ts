import type { ModelConfig } from "../weights/index.js";
import { cheapestCut, MICRO_BATCH_OVERHEAD_TOKENS, orderByLength } from "./micro-batches.js";
import type { LayoutInput } from "./row-layout.js";
import { activationNumbers, BLOCK_ROWS, slotNumbers } from "./trunk-plan.js";

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
  return {
    // Products with all keys of a row (blocks skip about half), twice for softmax, masks and small matrices.
    slotWork: (time) => (4 * query * (Math.min(time, BLOCK_ROWS) + Math.max(0, time - BLOCK_ROWS) / 2)) / weights,
    rowShare: (time) => 1 - slotNumbers(config, time) / activationNumbers(config, time),
  };
}

/** What a micro-batch may be. An input that is larger runs alone. */
export interface RowBudget {
  readonly rows: number;
  /** Tokens of a grid that take as much memory. */
  readonly memory: number;
}

/**
 * Puts inputs together in micro-batches within the budget. Two orders are cut in the best way, and the one with less work
 * is taken: by length, which leaves little padding in attention's grid; and prompt by prompt, so that prompts are computed
 * once.
 */
export function planRowBatches(
  inputs: readonly LayoutInput[],
  budget: RowBudget,
  costs: RowCosts,
): readonly RowBatch[] {
  const byLength = cut(inputs, orderByLength(lengthsOf(inputs)), budget, costs);
  const shared = orderByPrompt(inputs);
  if (shared === undefined) return byLength;
  const byPrompt = cut(inputs, shared, budget, costs);
  return totalWork(byPrompt) < totalWork(byLength) ? byPrompt : byLength;
}

function totalWork(batches: readonly RowBatch[]): number {
  return batches.reduce((sum, { work }) => sum + work, 0);
}

function lengthsOf(inputs: readonly LayoutInput[]): number[] {
  return inputs.map(({ tokens }) => tokens.length);
}

/** Undefined if no two inputs have a prompt in common. */
function orderByPrompt(inputs: readonly LayoutInput[]): number[] | undefined {
  const groups = new Map<number, { readonly first: number; longest: number }>();
  for (const [first, { prompt, tokens }] of inputs.entries()) {
    const group = groups.get(prompt);
    if (group) group.longest = Math.max(group.longest, tokens.length);
    else groups.set(prompt, { first, longest: tokens.length });
  }
  if (groups.size === inputs.length) return undefined;
  const groupOf = (index: number) => groups.get(inputs[index]!.prompt)!;
  return orderByLength(lengthsOf(inputs)).sort((a, b) => {
    const [left, right] = [groupOf(a), groupOf(b)];
    return right.longest - left.longest || left.first - right.first;
  });
}

/** Cuts the list in that order so that the work, a fixed overhead a micro-batch included, is least. */
function cut(inputs: readonly LayoutInput[], order: readonly number[], budget: RowBudget, costs: RowCosts): RowBatch[] {
  const batches = cheapestCut(order.length, (start) => growing(inputs, order, start, budget, costs));
  return batches.map(({ start, count, ...batch }) => ({ ...batch, members: order.slice(start, start + count) }));
}

/** Micro-batches of one, two, … inputs from `start` on, as far as the budget goes. */
function* growing(
  inputs: readonly LayoutInput[],
  order: readonly number[],
  start: number,
  budget: RowBudget,
  costs: RowCosts,
) {
  const prompts = new Set<number>();
  let [read, own, longest, shortest] = [0, 0, 0, Number.POSITIVE_INFINITY];
  for (let count = 1; start + count <= order.length; count++) {
    const { tokens, prompt, promptLength } = inputs[order[start + count - 1]!]!;
    const { length } = tokens;
    read += length;
    own += prompts.has(prompt) ? length - promptLength : length;
    prompts.add(prompt);
    longest = Math.max(longest, length);
    shortest = Math.min(shortest, length);
    // As in `rowLayout`.
    const isGrid = own === read && shortest === longest;
    const padding = isGrid ? 0 : 1;
    const rows = own + padding;
    const time = isGrid || shortest < longest ? longest : longest + 1;
    const slots = count * time;
    const share = costs.rowShare(time);
    if (count > 1 && (rows > budget.rows || rows * share + slots * (1 - share) > budget.memory)) return;
    const work = MICRO_BATCH_OVERHEAD_TOKENS + rows + costs.slotWork(time) * slots;
    yield { start, count, rows, padding, tokens: read, work };
  }
}

/**
 * Distributes the work over lanes that run side by side: micro-batches small enough that every lane gets a share, each
 * given to the lane with the least work so far. The plan depends on lengths and prompts alone: the same input always
 * gives the same one.
 */
export function planLanes(
  inputs: readonly LayoutInput[],
  budget: number,
  laneCount: number,
  costs: RowCosts,
): readonly RowBatch[][] {
  const prompts = new Set<number>();
  // A prompt that is cut in two is computed twice, and each micro-batch may have a row of padding.
  let slack = new Set(lengthsOf(inputs)).size > 1 ? 1 : 0;
  const total = inputs.reduce((sum, { tokens: { length }, prompt, promptLength }) => {
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
