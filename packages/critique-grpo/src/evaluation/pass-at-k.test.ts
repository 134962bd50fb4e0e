import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { passAtK, passAtKLadder } from "./pass-at-k.js";

/** Fraction of k-subsets of n samples, the first c right, that hold a right one: the definition, by enumeration. */
function byEnumeration(n: number, c: number, k: number): number {
  let subsets = 0;
  let hits = 0;
  for (let mask = 0; mask < 1 << n; mask++) {
    const members = [...Array(n).keys()].filter((i) => mask & (1 << i));
    if (members.length !== k) continue;
    subsets++;
    if (members.some((i) => i < c)) hits++;
  }
  return hits / subsets;
}

describe("passAtK", () => {
  it("is the fraction of k-subsets with a right sample", () => {
    for (let n = 1; n <= 8; n++) {
      for (let c = 0; c <= n; c++) {
        for (let k = 1; k <= n; k++) expect(passAtK(n, c, k)).toBeCloseTo(byEnumeration(n, c, k), 12);
      }
    }
  });

  it("at k = 1 is the mean, and never falls with k", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2000 }), fc.double({ min: 0, max: 1, noNaN: true }), (n, fraction) => {
        const c = Math.round(n * fraction);
        expect(passAtK(n, c, 1)).toBeCloseTo(c / n, 9);
        const ladder = passAtKLadder(n).map((k) => passAtK(n, c, k));
        for (let i = 1; i < ladder.length; i++) expect(ladder[i]!).toBeGreaterThanOrEqual(ladder[i - 1]! - 1e-12);
      }),
    );
  });

  it("refuses impossible counts", () => {
    expect(() => passAtK(4, 1, 5)).toThrow("k is 5, samples is 4");
    expect(() => passAtK(4, 5, 1)).toThrow("[0, 4]");
  });
});
