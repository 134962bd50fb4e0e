import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { annealedWeight, importanceWeight, shareScale } from "./guards.js";

const gradient = fc.double({ min: 1e-6, max: 1e3, noNaN: true });

describe("shareScale", () => {
  it("brings the off-policy share down to the cap, and leaves a smaller one alone", () => {
    expect(shareScale(3, 1, 0.5)).toBe(1);
    // 3 of 4 off-policy; at most a quarter: s · 3 / (s · 3 + 1) = 1/4.
    expect(shareScale(1, 3, 0.25)).toBeCloseTo(1 / 9, 12);
    fc.assert(
      fc.property(gradient, gradient, fc.double({ min: 0.01, max: 0.99, noNaN: true }), (on, off, cap) => {
        const scaled = shareScale(on, off, cap) * off;
        expect(scaled).toBeLessThanOrEqual(off);
        expect(scaled / (scaled + on)).toBeCloseTo(Math.min(cap, off / (off + on)), 9);
      }),
    );
  });

  it("leaves nothing where the on-policy part is without gradient, and is 1 where there is none at all", () => {
    expect(shareScale(0, 2, 0.5)).toBe(0);
    expect(shareScale(0, 0, 0.5)).toBe(1);
  });
});

it("annealing is linear from 1 and stays at its end", () => {
  const annealing = { finalWeight: 0.2, steps: 4 };
  const weights = [0, 1, 2, 4, 9].map((step) => annealedWeight(annealing, step));
  for (const [i, weight] of [1, 0.8, 0.6, 0.2, 0.2].entries()) expect(weights[i]).toBeCloseTo(weight, 12);
});

it("the importance weight is the ratio to the sampling probability, at most its cap", () => {
  expect(importanceWeight(Math.log(0.1), Math.log(0.8), 2)).toBeCloseTo(0.125, 12);
  expect(importanceWeight(Math.log(0.9), Math.log(0.1), 2)).toBe(2);
});
