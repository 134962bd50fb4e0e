import { describe, expect, it } from "vitest";
import { bootstrapMean } from "./bootstrap.js";
import { mean, sampleStd } from "./descriptive.js";
import { studentQuantile, tInterval } from "./student-t.js";

describe("mean and sampleStd", () => {
  it("are those of a textbook example", () => {
    const values = [2, 4, 4, 4, 5, 5, 7, 9];
    expect(mean(values)).toBe(5);
    expect(sampleStd(values)).toBeCloseTo(Math.sqrt(32 / 7), 12);
    expect(sampleStd([3])).toBe(0);
    expect(mean([])).toBeNaN();
  });
});

describe("studentQuantile", () => {
  // scipy.stats.t.ppf(0.975, df)
  it.each([
    [1, 12.706204736],
    [2, 4.30265273],
    [4, 2.776445105],
    [9, 2.262157163],
    [30, 2.042272456],
  ])("at 97.5 %% with %i degrees of freedom is the tables'", (degrees, quantile) => {
    expect(studentQuantile(0.975, degrees)).toBeCloseTo(quantile, 7);
    expect(studentQuantile(0.025, degrees)).toBeCloseTo(-quantile, 7);
  });

  it("refuses what has no quantile", () => {
    expect(() => studentQuantile(1, 3)).toThrow("(0, 1)");
    expect(() => studentQuantile(0.9, 0)).toThrow("at least 1");
  });
});

describe("tInterval", () => {
  it("is mean ± t · s / √n", () => {
    const { value, low, high } = tInterval([1, 2, 3, 4, 5]);
    expect(value).toBe(3);
    expect(high - value).toBeCloseTo(2.776445105 * Math.sqrt(2.5 / 5), 7);
    expect(value - low).toBeCloseTo(high - value, 12);
  });

  it("says nothing of a single value", () => {
    expect(tInterval([7])).toEqual({ value: 7, low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY });
  });
});

describe("bootstrapMean", () => {
  it("brackets the mean and is the same at every call", () => {
    const values = Array.from({ length: 200 }, (_, i) => (i % 4 === 0 ? 1 : 0));
    const estimate = bootstrapMean(values);
    expect(estimate).toEqual(bootstrapMean(values));
    expect(estimate.value).toBe(0.25);
    // Standard error √(0.25·0.75/200) = 0.031, so the interval is about ±0.06.
    expect(estimate.low).toBeGreaterThan(0.17);
    expect(estimate.low).toBeLessThan(0.22);
    expect(estimate.high).toBeGreaterThan(0.28);
    expect(estimate.high).toBeLessThan(0.33);
  });

  it("has no width where there is no spread", () => {
    expect(bootstrapMean([1, 1, 1])).toEqual({ value: 1, low: 1, high: 1 });
  });
});
