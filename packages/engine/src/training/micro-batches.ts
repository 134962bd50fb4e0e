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

/**
 * Distributes the work over lanes that run side by side: micro-batches small enough that every lane gets a share, each
 * given to the lane with the least work so far. Like the micro-batches, it depends on the lengths alone.
 */
export function planLanes(lengths: readonly number[], tokenBudget: number, laneCount: number): readonly MicroBatch[][] {
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const rounds = Math.max(1, Math.ceil(total / (tokenBudget * laneCount)));
  const evenBudget = Math.min(tokenBudget, Math.ceil(total / (rounds * laneCount)));
  const lanes = Array.from({ length: laneCount }, () => ({ batches: [] as MicroBatch[], work: 0 }));
  for (const batch of planMicroBatches(lengths, evenBudget)) {
    const lane = lanes.reduce((least, other) => (other.work < least.work ? other : least));
    lane.batches.push(batch);
    lane.work += batch.members.length * batch.time;
  }
  return lanes.map(({ batches }) => batches);
}
