/** f(p): what a token of a refinement contributes to the objective, in place of the ratio to an old policy. */

export type Shaping =
  | { readonly type: "none" }
  | { readonly type: "ratio"; readonly gamma: number }
  | { readonly type: "log" }
  | { readonly type: "linear-log"; readonly weight: number }
  | { readonly type: "sqrt" }
  | { readonly type: "power"; readonly exponent: number };

export interface ShapedProbability {
  /** f(p). */
  readonly value: number;
  /** ∂f/∂ℓ with ℓ = log p, that is f'(p) · p. */
  readonly gradient: number;
}

/**
 * f and its derivative with respect to the log-probability ℓ. The paper's is `ratio`: f = p / (p + γ), whose gradient
 * γp/(p+γ)² is largest at p = γ, so that correct but unfamiliar tokens count most.
 */
export function shapeProbability(logprob: number, shaping: Shaping): ShapedProbability {
  const p = Math.exp(logprob);
  switch (shaping.type) {
    case "none":
      return { value: p, gradient: p };
    case "ratio": {
      const denominator = p + shaping.gamma;
      return { value: p / denominator, gradient: (shaping.gamma * p) / (denominator * denominator) };
    }
    case "log":
      return { value: logprob, gradient: 1 };
    case "linear-log":
      return { value: p + shaping.weight * logprob, gradient: p + shaping.weight };
    case "sqrt": {
      const value = Math.exp(logprob / 2);
      return { value, gradient: value / 2 };
    }
    case "power": {
      const value = Math.exp(logprob * shaping.exponent);
      return { value, gradient: shaping.exponent * value };
    }
    default:
      throw new RangeError(`Unknown shaping ${String((shaping satisfies never as { type: string }).type)}`);
  }
}
