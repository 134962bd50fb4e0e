import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { SequenceOrigin, TrainingSequence } from "../rollout/records.js";
import { type ClipBounds, ratioObjective } from "./clipping.js";
import { type Shaping, shapeProbability } from "./shaping.js";
import { createTokenLoss, type Objective, sequenceLoss, type TokenLossSettings } from "./token-loss.js";

const logprob = fc.double({ min: -9, max: -0.01, noNaN: true });
const shapings = fc.oneof(
  fc.constantFrom<Shaping>({ type: "none" }, { type: "log" }, { type: "sqrt" }),
  fc.double({ min: 0.01, max: 2, noNaN: true }).map((gamma): Shaping => ({ type: "ratio", gamma })),
  fc.double({ min: 0, max: 2, noNaN: true }).map((weight): Shaping => ({ type: "linear-log", weight })),
  fc.double({ min: 0.1, max: 3, noNaN: true }).map((exponent): Shaping => ({ type: "power", exponent })),
);
const H = 1e-5;

describe("shapeProbability", () => {
  it("has the derivative with respect to the log-probability", () => {
    fc.assert(
      fc.property(logprob, shapings, (l, shaping) => {
        const numeric = (shapeProbability(l + H, shaping).value - shapeProbability(l - H, shaping).value) / (2 * H);
        expect(shapeProbability(l, shaping).gradient).toBeCloseTo(numeric, 7);
      }),
    );
  });

  it("is p / (p + γ) in the paper, with its largest gradient 1/4 at p = γ", () => {
    const paper = { type: "ratio", gamma: 0.1 } as const;
    expect(shapeProbability(Math.log(0.3), paper).value).toBeCloseTo(0.75, 12);
    expect(shapeProbability(Math.log(0.1), paper).gradient).toBeCloseTo(0.25, 12);
    fc.assert(fc.property(logprob, (l) => shapeProbability(l, paper).gradient <= 0.25 + 1e-12));
    // p → 0: p/γ; p → 1: γ/(1 + γ)²
    expect(shapeProbability(-20, paper).gradient).toBeCloseTo(Math.exp(-20) / 0.1, 12);
    expect(shapeProbability(0, paper).gradient).toBeCloseTo(0.1 / 1.21, 12);
  });

  it("has the values of the other shapings", () => {
    const l = Math.log(0.25);
    expect(shapeProbability(l, { type: "none" }).value).toBeCloseTo(0.25, 12);
    expect(shapeProbability(l, { type: "log" }).value).toBe(l);
    expect(shapeProbability(l, { type: "linear-log", weight: 0.1 }).value).toBeCloseTo(0.25 + 0.1 * l, 12);
    expect(shapeProbability(l, { type: "sqrt" }).value).toBeCloseTo(0.5, 12);
    expect(shapeProbability(l, { type: "power", exponent: 2 }).value).toBeCloseTo(0.0625, 12);
  });
});

describe("ratioObjective", () => {
  const clip: ClipBounds = { low: 0.2, high: 0.3, dual: 3 };
  const at = (ratio: number, advantage: number, bounds: ClipBounds | null = clip) =>
    ratioObjective(Math.log(ratio), 0, advantage, bounds);

  it("is the plain ratio without clipping, however large", () => {
    expect(at(7, 2, null)).toMatchObject({ clipped: null });
    expect(at(7, 2, null).value).toBeCloseTo(14, 10);
    expect(at(7, 2, null).gradient).toBeCloseTo(14, 10);
  });

  it("is min(A·r, A·clip(r)) as in PPO, with two bounds", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.01, max: 5, noNaN: true }),
        fc.double({ min: -2, max: 2, noNaN: true }),
        (r, a) => {
          const bounded = Math.max(1 - clip.low, Math.min(1 + clip.high, r));
          const { dual: _, ...withoutDual } = clip;
          expect(at(r, a, withoutDual).value).toBeCloseTo(Math.min(a * r, a * bounded), 9);
          const withDual =
            a < 0 ? Math.max(Math.min(a * r, a * bounded), a * clip.dual!) : Math.min(a * r, a * bounded);
          expect(at(r, a).value).toBeCloseTo(withDual, 9);
        },
      ),
    );
  });

  it("stops the gradient where a bound holds, and only there", () => {
    expect(at(1.4, 1)).toMatchObject({ gradient: 0, clipped: "high" });
    expect(at(0.7, -1)).toMatchObject({ gradient: 0, clipped: "low" });
    expect(at(3.5, -1)).toMatchObject({ gradient: 0, clipped: "dual" });
    expect(at(1.4, -1).gradient).toBeCloseTo(-1.4, 10);
    expect(at(0.7, 1).gradient).toBeCloseTo(0.7, 10);
  });
});

const settings: TokenLossSettings = {
  objective: "policy-gradient",
  samplerCap: null,
  importanceCap: null,
  clip: null,
  shaping: { type: "ratio", gamma: 0.1 },
  klCoefficient: 0,
  entropyWeight: 0,
};

function sequence(overrides: Partial<TrainingSequence> = {}): TrainingSequence {
  return {
    prompt: [1],
    response: [2, 3],
    oldLogprobs: Float32Array.of(-1, -2),
    proximalLogprobs: null,
    samplingLogprobs: null,
    referenceLogprobs: null,
    advantage: 0.5,
    origin: "initial",
    weight: 0.1,
    ...overrides,
  };
}

const current = (...logprobs: number[]) => ({
  logprobs: Float32Array.from(logprobs),
  entropies: Float32Array.from(logprobs, () => 1.5),
});

describe("sequenceLoss", () => {
  it("is −A·w on-policy where the policy has not moved: the ratio is 1", () => {
    const { loss, logprobGradient } = sequenceLoss(sequence(), current(-1, -2), settings);
    expect(loss).toBeCloseTo(-0.1, 9);
    expect([...logprobGradient]).toEqual([expect.closeTo(-0.05, 8), expect.closeTo(-0.05, 8)]);
  });

  it("takes f(p) of the current policy for a refinement, without an old policy", () => {
    const refinement = sequence({ origin: "refinement", oldLogprobs: null, advantage: 0.875 });
    const { loss, logprobGradient } = sequenceLoss(refinement, current(Math.log(0.1), Math.log(0.3)), settings);
    expect(loss).toBeCloseTo(-0.875 * 0.1 * (0.5 + 0.75), 7);
    // γp/(p+γ)² at p = 0.1 and 0.3
    expect(logprobGradient[0]).toBeCloseTo(-0.0875 * 0.25, 7);
    expect(logprobGradient[1]).toBeCloseTo((-0.0875 * 0.03) / 0.16, 7);
  });

  it("weighs a refinement's tokens by min(π/μ, cap), a constant to the gradient", () => {
    const refinement = sequence({ origin: "refinement", oldLogprobs: null, advantage: 1, weight: 1 });
    const sampled = Float32Array.from([0.8, 0.05], Math.log);
    const now = current(Math.log(0.1), Math.log(0.3));
    const weighed = { ...settings, importanceCap: 2 };
    const { loss, logprobGradient } = sequenceLoss({ ...refinement, samplingLogprobs: sampled }, now, weighed);
    // π/μ = 0.125 and 6, the latter capped at 2; f = 0.5 and 0.75, f'·p = 0.25 and 0.1875.
    expect(loss).toBeCloseTo(-(0.125 * 0.5 + 2 * 0.75), 6);
    expect([...logprobGradient]).toEqual([expect.closeTo(-0.125 * 0.25, 6), expect.closeTo(-2 * 0.1875, 6)]);
    expect(() => sequenceLoss(refinement, now, weighed)).toThrow("sampling logprobs");
  });

  describe("with a correction of the sampler", () => {
    const corrected = { ...settings, samplerCap: 2 };
    const sampled = Float32Array.from([0.8, 0.05], Math.log);

    it("counts a token min(π/μ, cap) while the policy has not moved: a constant to the gradient", () => {
      const s = sequence({ oldLogprobs: sampled, advantage: 1, weight: 1 });
      const { loss, logprobGradient } = sequenceLoss(s, current(Math.log(0.4), Math.log(0.3)), corrected);
      // π/μ = 0.5 and 6, the latter capped at 2; the ratio to the policy itself is 1.
      expect(loss).toBeCloseTo(-(0.5 + 2), 6);
      expect([...logprobGradient]).toEqual([expect.closeTo(-0.5, 6), expect.closeTo(-2, 6)]);
    });

    it("then takes ratio and clip to the policy before the step, and keeps the weight of then", () => {
      const proximalLogprobs = Float32Array.from([0.4, 0.3], Math.log);
      const s = sequence({ oldLogprobs: sampled, proximalLogprobs, advantage: 1, weight: 1 });
      const clipped = { ...corrected, clip: { low: 0.2, high: 0.2 } };
      const { loss, logprobGradient } = sequenceLoss(s, current(Math.log(0.44), Math.log(0.6)), clipped);
      // Ratios 1.1 and 2, the latter clipped at 1.2; weights still 0.5 and 2. To μ the first would be 0.55: clipped at A < 0.
      expect(loss).toBeCloseTo(-(0.5 * 1.1 + 2 * 1.2), 6);
      expect([...logprobGradient]).toEqual([expect.closeTo(-0.5 * 1.1, 6), -0]);
    });

    it("changes no bit where sampler and trainer agree, nor of refinements", () => {
      fc.assert(
        fc.property(fc.array(logprob, { minLength: 2, maxLength: 2 }), logprob, (logprobs, other) => {
          const s = sequence({ oldLogprobs: Float32Array.from(logprobs) });
          const same = { ...current(0, 0), logprobs: Float32Array.from(logprobs) };
          expect(sequenceLoss(s, same, corrected)).toEqual(sequenceLoss(s, same, settings));
          const later = { ...s, proximalLogprobs: s.oldLogprobs };
          const moved = current(other, other);
          expect(sequenceLoss(later, moved, corrected)).toEqual(sequenceLoss(s, moved, settings));
          const refinement = sequence({ origin: "refinement", oldLogprobs: null, samplingLogprobs: sampled });
          expect(sequenceLoss(refinement, moved, corrected)).toEqual(sequenceLoss(refinement, moved, settings));
        }),
      );
    });

    it("has the gradient of its loss with the weight held", () => {
      const arbitrary = fc.record({
        logprobs: fc.array(logprob, { minLength: 2, maxLength: 2 }),
        old: fc.array(logprob, { minLength: 2, maxLength: 2 }),
        advantage: fc.double({ min: -1, max: 1, noNaN: true }),
      });
      fc.assert(
        fc.property(arbitrary, ({ logprobs, old, advantage }) => {
          const held = Float64Array.from(logprobs) as unknown as Float32Array;
          const s = sequence({ advantage, weight: 1, oldLogprobs: Float32Array.from(old) });
          const { logprobGradient } = sequenceLoss(s, { ...current(0, 0), logprobs: held }, corrected);
          const loss = (t: number, by: number) => {
            const moved = Float64Array.from(logprobs, (value, i) => (i === t ? value + by : value));
            const now = { ...current(0, 0), logprobs: moved as unknown as Float32Array };
            return sequenceLoss({ ...s, proximalLogprobs: held }, now, corrected).loss;
          };
          for (const t of [0, 1]) expect(logprobGradient[t]).toBeCloseTo((loss(t, 1e-5) - loss(t, -1e-5)) / 2e-5, 4);
        }),
      );
    });

    it("is not left to a server", () => {
      expect(createTokenLoss(settings).serverLoss?.(sequence())).toMatchObject({ kind: "ratio" });
      expect(createTokenLoss(corrected).serverLoss?.(sequence())).toBeNull();
    });
  });

  it("has the gradient of its loss, for every combination of terms", () => {
    const arbitrary = fc.record({
      logprobs: fc.array(logprob, { minLength: 2, maxLength: 2 }),
      old: fc.array(logprob, { minLength: 2, maxLength: 2 }),
      reference: fc.array(logprob, { minLength: 2, maxLength: 2 }),
      advantage: fc.double({ min: -1, max: 1, noNaN: true }),
      origin: fc.constantFrom<SequenceOrigin>("initial", "refinement", "expert", "critique"),
      objective: fc.constantFrom<Objective>("policy-gradient", "supervised"),
      shaping: shapings,
      klCoefficient: fc.constantFrom(0, 0.05),
      clip: fc.constantFrom<ClipBounds | null>(null, { low: 0.2, high: 0.28, dual: 3 }),
    });
    fc.assert(
      fc.property(arbitrary, ({ logprobs, old, reference, advantage, origin, ...terms }) => {
        const s = sequence({
          advantage,
          origin,
          weight: 1,
          // The plain ratio over a vanishing old probability is large: keep it where differences are accurate.
          oldLogprobs: Float32Array.from(old, (value, t) => Math.max(value, logprobs[t]! - 1.5)),
          referenceLogprobs: Float32Array.from(reference),
        });
        const all = { ...settings, ...terms };
        // Float32 storage is too coarse for differences: evaluate in float64.
        const loss = (values: readonly number[]) =>
          sequenceLoss(s, { ...current(0, 0), logprobs: Float64Array.from(values) as unknown as Float32Array }, all)
            .loss;
        const step = 1e-5;
        const { logprobGradient } = sequenceLoss(
          s,
          { ...current(0, 0), logprobs: Float64Array.from(logprobs) as unknown as Float32Array },
          all,
        );
        for (const t of [0, 1]) {
          const shifted = (by: number) => loss(logprobs.map((value, i) => (i === t ? value + by : value)));
          const left = (loss(logprobs) - shifted(-step)) / step;
          const right = (shifted(step) - loss(logprobs)) / step;
          // At the edge of a clip or a clamp the loss has a kink.
          fc.pre(Math.abs(left - right) < 2e-4);
          expect(logprobGradient[t]).toBeCloseTo((left + right) / 2, 3);
        }
      }),
    );
  });

  it("rewards entropy with the weight of the mini-batch on every token", () => {
    const result = sequenceLoss(sequence({ advantage: 0 }), current(-1, -2), { ...settings, entropyWeight: 0.01 });
    expect(result.loss).toBeCloseTo(-0.03, 8);
    expect([...result.entropyGradient!]).toEqual([expect.closeTo(-0.01, 9), expect.closeTo(-0.01, 9)]);
    expect(sequenceLoss(sequence(), current(-1, -2), settings).entropyGradient).toBeUndefined();
  });

  it("refuses a sequence that lacks what its loss needs", () => {
    expect(() => sequenceLoss(sequence({ oldLogprobs: null }), current(-1, -2), settings)).toThrow("old logprobs");
    expect(() => sequenceLoss(sequence(), current(-1, -2), { ...settings, klCoefficient: 1 })).toThrow("reference");
    expect(() => sequenceLoss(sequence(), current(-1), settings)).toThrow("1 entries for a response of 2 tokens");
  });
});
