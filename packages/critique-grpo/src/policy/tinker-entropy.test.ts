import { describe, expect, it } from "vitest";
import { deriveSeed } from "../rollout/seeds.js";
import { meanSurprisal, type SequenceGradient, withEntropyEstimate } from "./tinker-entropy.js";

/** One token a sequence, drawn from these probabilities. */
const PROBABILITIES = [0.5, 0.3, 0.15, 0.05];
const ENTROPY = -PROBABILITIES.reduce((sum, p) => sum + p * Math.log(p), 0);
const WEIGHT = 0.01;

function drawn(index: number): { token: number; gradient: SequenceGradient } {
  let uniform = deriveSeed("entropy", index) / 2 ** 31;
  let token = 0;
  while (token < PROBABILITIES.length - 1 && uniform >= PROBABILITIES[token]!) uniform -= PROBABILITIES[token++]!;
  const logprobs = Float32Array.of(Math.log(PROBABILITIES[token]!));
  const zero = new Float32Array(1);
  const entropyGradient = Float32Array.of(-WEIGHT);
  return { token, gradient: { logprobs, oldLogprobs: logprobs, logprobGradient: zero, entropyGradient } };
}

/** Gradient with respect to the logits, Σ g · ∂log p_y/∂z, over the weight of all sequences. */
function logitGradient(tokens: readonly number[], vectors: readonly Float32Array[], weight: number): number[] {
  return PROBABILITIES.map((p, v) => {
    const sum = tokens.reduce((total, token, i) => total + vectors[i]![0]! * ((token === v ? 1 : 0) - p), 0);
    return sum / weight;
  });
}

describe("the entropy estimate", () => {
  it("has the entropy's gradient as its mean", () => {
    const draws = Array.from({ length: 20_000 }, (_, index) => drawn(index));
    const vectors = withEntropyEstimate(draws.map(({ gradient }) => gradient));
    const estimate = logitGradient(
      draws.map(({ token }) => token),
      vectors,
      -WEIGHT * draws.length,
    );
    // ∂H/∂z_v = −p_v (log p_v + H).
    for (const [v, p] of PROBABILITIES.entries()) expect(estimate[v]).toBeCloseTo(-p * (Math.log(p) + ENTROPY), 1.8);
    expect(
      meanSurprisal(draws.map(({ gradient }) => ({ sequence: gradient, logprobs: gradient.logprobs }))),
    ).toBeCloseTo(ENTROPY, 1.8);
  });

  it("leaves sequences alone that the policy did not draw, and keeps the bonus's whole weight", () => {
    const [first, second, third] = [drawn(1).gradient, drawn(2).gradient, drawn(3).gradient];
    const refinement = { ...third!, oldLogprobs: null, logprobGradient: Float32Array.of(5) };
    const [a, b, other] = withEntropyEstimate([first!, second!, refinement]);
    expect(other).toEqual(Float32Array.of(5));
    const [alone, both] = withEntropyEstimate([first!, second!]);
    expect(a![0]).toBeCloseTo(1.5 * alone![0]!, 6);
    expect(b![0]).toBeCloseTo(1.5 * both![0]!, 6);
  });

  it("weights tokens of an older policy with their ratio", () => {
    const { gradient } = drawn(1);
    const [now, older] = [
      gradient,
      { ...gradient, oldLogprobs: gradient.logprobs.map((value) => value - Math.log(2)) },
    ];
    expect(withEntropyEstimate([older])[0]![0]).toBeCloseTo(2 * withEntropyEstimate([now])[0]![0]!, 5);
  });
});
