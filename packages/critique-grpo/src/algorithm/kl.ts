/** KL divergence to a frozen reference policy. */

/** Beyond this the exponential would overflow a float32 and the estimator is clamped anyway. */
const DIFFERENCE_BOUND = 20;
const ESTIMATE_BOUND = 10;

export interface KlEstimate {
  /** ≥ 0, at most 10. */
  readonly value: number;
  /** ∂value/∂ℓ. */
  readonly gradient: number;
}

/**
 * Low-variance estimator of KL(π_θ ‖ π_ref) at one token: exp(d) − d − 1 with d = ℓ_ref − ℓ, clamped to ±10
 * (J. Schulman, "Approximating KL divergence", k3). Where the clamp holds the gradient is zero.
 */
export function klEstimate(logprob: number, referenceLogprob: number): KlEstimate {
  const difference = referenceLogprob - logprob;
  const bounded = Math.max(-DIFFERENCE_BOUND, Math.min(DIFFERENCE_BOUND, difference));
  const ratio = Math.exp(bounded);
  const value = ratio - bounded - 1;
  if (value > ESTIMATE_BOUND) return { value: ESTIMATE_BOUND, gradient: 0 };
  return { value, gradient: 1 - ratio };
}
