/** The on-policy objective: importance ratio, PPO clip with two bounds, dual clip. */

export interface ClipBounds {
  /** The ratio is clipped below at 1 − low. */
  readonly low: number;
  /** … and above at 1 + high. */
  readonly high: number;
  /** Dual clip: with a negative advantage the objective is never below dual · A. */
  readonly dual?: number | undefined;
}

export interface RatioObjective {
  /** To be maximised. */
  readonly value: number;
  /** ∂value/∂ℓ, zero where a bound is active. */
  readonly gradient: number;
  readonly ratio: number;
  /** The bound that holds the objective, for the clip fractions. */
  readonly clipped: "low" | "high" | "dual" | null;
}

/** A · r with r = exp(ℓ − ℓ_old), clipped as PPO does it; `clip` null = the plain ratio (Critique-GRPO). */
export function ratioObjective(
  logprob: number,
  oldLogprob: number,
  advantage: number,
  clip: ClipBounds | null,
): RatioObjective {
  const ratio = Math.exp(logprob - oldLogprob);
  if (clip !== null) {
    const upper = 1 + clip.high;
    const lower = 1 - clip.low;
    if (advantage > 0 && ratio > upper) return { value: advantage * upper, gradient: 0, ratio, clipped: "high" };
    if (advantage < 0 && ratio < lower) return { value: advantage * lower, gradient: 0, ratio, clipped: "low" };
    if (advantage < 0 && clip.dual !== undefined && ratio > clip.dual) {
      return { value: advantage * clip.dual, gradient: 0, ratio, clipped: "dual" };
    }
  }
  const value = advantage * ratio;
  return { value, gradient: value, ratio, clipped: null };
}
