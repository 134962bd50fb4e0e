/** Sequences that run through the network together, padded on the right to the longest of them. */
export interface MicroBatch {
  /** Indices into the list the plan was made for. */
  readonly members: readonly number[];
  /** Input tokens of the longest member. */
  readonly time: number;
}

/**
 * Groups sequences of similar length so that members × longest stays within a token budget. A sequence longer than the
 * budget runs alone. The plan depends on the lengths alone: the same input always gives the same one.
 */
export function planMicroBatches(lengths: readonly number[], tokenBudget: number): readonly MicroBatch[] {
  const order = lengths.map((_, index) => index).sort((a, b) => lengths[b]! - lengths[a]! || a - b);
  const batches: { members: number[]; time: number }[] = [];
  for (const index of order) {
    const open = batches.at(-1);
    // Longest first: the first member decides the padded length.
    if (open && (open.members.length + 1) * open.time <= tokenBudget) open.members.push(index);
    else batches.push({ members: [index], time: lengths[index]! });
  }
  return batches;
}
