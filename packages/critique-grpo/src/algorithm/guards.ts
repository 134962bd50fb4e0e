/**
 * Guards against collapse by the off-policy part of an update (refinements, expert solutions). Each lowers the weight of
 * off-policy sequences or tokens and leaves the on-policy ones alone.
 */

export interface Annealing {
  /** Weight of off-policy sequences from `steps` on; it starts at 1. */
  readonly finalWeight: number;
  /** Training steps. */
  readonly steps: number;
}

/** Weight of off-policy sequences after `step` training steps (fractions count), linear from 1 to `finalWeight`. */
export function annealedWeight({ finalWeight, steps }: Annealing, step: number): number {
  return 1 + (finalWeight - 1) * Math.min(1, step / steps);
}

/**
 * What the off-policy sequences of a mini-batch are scaled by, so that their share s·G_off / (s·G_off + G_on) of the
 * gradient is at most `cap`. G is Σ |∂L/∂log π| over the tokens of each part. At most 1.
 */
export function shareScale(onPolicy: number, offPolicy: number, cap: number): number {
  if (offPolicy <= cap * (onPolicy + offPolicy)) return 1;
  return (cap * onPolicy) / ((1 - cap) * offPolicy);
}

/**
 * min(π / μ, cap) of a token that was drawn with probability μ: truncated importance sampling. Of a refinement μ is the
 * probability after its own prompt: a token that the policy would not have said without the critique counts little. Of an
 * initial response π is the trainer's and μ the sampler's probability (Yao et al. 2025, "Your efficient RL framework
 * secretly brings you off-policy RL training").
 */
export function importanceWeight(logprob: number, samplingLogprob: number, cap: number): number {
  return Math.min(Math.exp(logprob - samplingLogprob), cap);
}
