/** Group-relative advantages. */
import { mean, sampleStd } from "../statistics/descriptive.js";

export type AdvantageMode = "mean" | "mean-std";

const STD_EPSILON = 1e-6;

/**
 * A_i = R_i − mean(R) over one training group; `mean-std` divides by the sample standard deviation + 1e-6 (GRPO),
 * `mean` does not (Dr. GRPO, Critique-GRPO). A group of one has mean 0 and standard deviation 1 by convention, so its
 * advantage is its reward.
 */
export function groupAdvantages(rewards: readonly number[], mode: AdvantageMode): number[] {
  const single = rewards.length === 1;
  const center = single ? 0 : mean(rewards);
  switch (mode) {
    case "mean":
      return rewards.map((reward) => reward - center);
    case "mean-std": {
      const scale = (single ? 1 : sampleStd(rewards)) + STD_EPSILON;
      return rewards.map((reward) => (reward - center) / scale);
    }
    default:
      throw new RangeError(`Unknown advantage mode ${String(mode satisfies never)}`);
  }
}
