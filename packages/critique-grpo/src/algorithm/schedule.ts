/** Learning rate as a function of the optimizer step. */

export interface LearningRateSchedule {
  readonly learningRate: number;
  readonly schedule: "constant" | "linear" | "cosine";
  readonly warmupSteps: number;
  /** Learning rate at the end over the peak. */
  readonly finalFraction: number;
}

/**
 * The rate of optimizer step `index` (from 0) of `total`. Warm-up rises linearly and reaches the peak with its last
 * step; the first step is never 0. The decay reaches `finalFraction` where step `total` would be.
 */
export function learningRateAt(schedule: LearningRateSchedule, index: number, total: number): number {
  const { learningRate, warmupSteps, finalFraction } = schedule;
  if (index < warmupSteps) return (learningRate * (index + 1)) / warmupSteps;
  const progress = Math.min(1, (index - warmupSteps) / Math.max(1, total - warmupSteps));
  switch (schedule.schedule) {
    case "constant":
      return learningRate;
    case "linear":
      return learningRate * (1 - (1 - finalFraction) * progress);
    case "cosine":
      return learningRate * (finalFraction + (1 - finalFraction) * 0.5 * (1 + Math.cos(Math.PI * progress)));
    default:
      throw new RangeError(`Unknown schedule ${String(schedule.schedule satisfies never)}`);
  }
}
