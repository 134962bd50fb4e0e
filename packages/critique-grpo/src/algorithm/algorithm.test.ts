import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { mean, sampleStd } from "../statistics/descriptive.js";
import { groupAdvantages } from "./advantages.js";
import { type Aggregation, sequenceWeights } from "./aggregation.js";
import { klEstimate } from "./kl.js";
import { learningRateAt } from "./schedule.js";
import { type SelectionMode, selectionIsSettled, selectRefinements } from "./selection.js";

const rewards = fc.array(fc.double({ min: -5, max: 5, noNaN: true }), { minLength: 2, maxLength: 12 });

describe("groupAdvantages", () => {
  it("is the reward less the mean of the whole group", () => {
    expect(groupAdvantages([1, 0, 0, 1], "mean")).toEqual([0.5, -0.5, -0.5, 0.5]);
  });

  it("divides by the sample standard deviation + 1e-6 in mean-std", () => {
    // statistics.stdev([1, 0, 0, 0]) = 0.5 in Python
    const scale = 0.5 + 1e-6;
    expect(groupAdvantages([1, 0, 0, 0], "mean-std")).toEqual([0.75 / scale, ...Array(3).fill(-0.25 / scale)]);
  });

  it("gives a group of one its reward: mean 0, standard deviation 1", () => {
    expect(groupAdvantages([0.7], "mean")).toEqual([0.7]);
    expect(groupAdvantages([0.7], "mean-std")[0]).toBeCloseTo(0.7, 5);
  });

  it("gives zeros, not NaN, where all rewards are equal", () => {
    expect(groupAdvantages([1, 1, 1], "mean-std")).toEqual([0, 0, 0]);
  });

  it("sums to zero and does not see a shift of all rewards", () => {
    fc.assert(
      fc.property(
        rewards,
        fc.constantFrom("mean", "mean-std"),
        fc.double({ min: -3, max: 3, noNaN: true }),
        (r, mode, c) => {
          // Nearly equal rewards over a standard deviation of rounding errors have no meaningful advantage.
          fc.pre(mode === "mean" || sampleStd(r) > 1e-3);
          const advantages = groupAdvantages(r, mode as "mean" | "mean-std");
          expect(mean(advantages)).toBeCloseTo(0, 6);
          const shifted = groupAdvantages(
            r.map((value) => value + c),
            mode as "mean" | "mean-std",
          );
          for (const [i, advantage] of advantages.entries()) expect(shifted[i]).toBeCloseTo(advantage, 5);
        },
      ),
    );
  });
});

describe("sequenceWeights", () => {
  it("weighs as each mode says", () => {
    expect(sequenceWeights([2, 6], "constant-length", 10)).toEqual([1 / 20, 1 / 20]);
    expect(sequenceWeights([2, 6], "token-mean", 10)).toEqual([1 / 8, 1 / 8]);
    expect(sequenceWeights([2, 6], "seq-mean-token-sum", 10)).toEqual([1 / 2, 1 / 2]);
    expect(sequenceWeights([2, 6], "seq-mean-token-mean", 10)).toEqual([1 / 4, 1 / 12]);
  });

  it("gives the mean of equal token losses as itself in both mean modes, and never NaN", () => {
    const lengths = fc.array(fc.nat(20), { minLength: 1, maxLength: 8 });
    const modes = fc.constantFrom<Aggregation>(
      "constant-length",
      "token-mean",
      "seq-mean-token-sum",
      "seq-mean-token-mean",
    );
    fc.assert(
      fc.property(lengths, modes, (list, mode) => {
        const weights = sequenceWeights(list, mode, 20);
        const total = list.reduce((sum, length, i) => sum + length * weights[i]!, 0);
        expect(weights.every(Number.isFinite)).toBe(true);
        if (mode === "token-mean" && list.some((length) => length > 0)) expect(total).toBeCloseTo(1, 12);
        if (mode === "seq-mean-token-mean" && list.every((length) => length > 0)) expect(total).toBeCloseTo(1, 12);
      }),
    );
  });
});

describe("klEstimate", () => {
  it("is exp(d) − d − 1 with d = ℓ_ref − ℓ, and its gradient 1 − exp(d)", () => {
    fc.assert(
      fc.property(fc.double({ min: -8, max: 2, noNaN: true }), (d) => {
        const { value, gradient } = klEstimate(-3, -3 + d);
        expect(value).toBeCloseTo(Math.exp(d) - d - 1, 10);
        expect(gradient).toBeCloseTo(1 - Math.exp(d), 10);
        expect(value).toBeGreaterThanOrEqual(0);
      }),
    );
  });

  it("is clamped to 10, without gradient there, and survives any distance", () => {
    expect(klEstimate(-5, -1)).toEqual({ value: 10, gradient: 0 });
    expect(klEstimate(-1, -1e4)).toEqual({ value: 10, gradient: 0 });
    expect(klEstimate(-1e4, -1)).toEqual({ value: 10, gradient: 0 });
  });
});

describe("selectRefinements", () => {
  const refinement = (id: number, value: number, correct: boolean) => ({ id, reward: { value, correct } });
  const ids = (list: readonly { id: number }[]) => list.map(({ id }) => id);
  const best = (count: number) => ({ selection: "best", count, onlyCorrect: false }) as const;

  it("takes the first correct ones in order", () => {
    const list = [refinement(0, 0, false), refinement(1, 0.6, true), refinement(2, 1, true)];
    expect(ids(selectRefinements(list, best(1)))).toEqual([1]);
    expect(ids(selectRefinements(list, best(2)))).toEqual([1, 2]);
  });

  it("fills up with the best scored, the earlier of equals", () => {
    const list = [refinement(0, 0.1, false), refinement(1, 0.3, false), refinement(2, 0.3, false)];
    expect(ids(selectRefinements(list, best(2)))).toEqual([1, 2]);
    expect(ids(selectRefinements([...list, refinement(3, 1, true)], best(2)))).toEqual([3, 1]);
  });

  it("leaves wrong ones out when asked to", () => {
    expect(selectRefinements([refinement(0, 0.4, false)], { ...best(1), onlyCorrect: true })).toEqual([]);
  });

  it("takes the first k whatever their reward in `first` and `random`; wrong ones are dropped, not replaced", () => {
    const list = [refinement(0, 0, false), refinement(1, 1, true), refinement(2, 1, true)];
    for (const selection of ["first", "random"] as const) {
      expect(ids(selectRefinements(list, { selection, count: 1, onlyCorrect: false }))).toEqual([0]);
      expect(ids(selectRefinements(list, { selection, count: 2, onlyCorrect: true }))).toEqual([1]);
    }
  });

  it("cannot be changed by further refinements once it is settled", () => {
    const list = fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.boolean()), { maxLength: 8 });
    const settings = fc.record({
      selection: fc.constantFrom<SelectionMode>("best", "first", "random"),
      count: fc.integer({ min: 1, max: 3 }),
      onlyCorrect: fc.boolean(),
    });
    fc.assert(
      fc.property(list, list, settings, (known, later, how) => {
        const all = [...known, ...later].map(([value, correct], id) => refinement(id, value, correct));
        const first = all.slice(0, known.length);
        fc.pre(selectionIsSettled(first, how));
        expect(ids(selectRefinements(all, how))).toEqual(ids(selectRefinements(first, how)));
      }),
    );
  });
});

describe("learningRateAt", () => {
  const peak = { learningRate: 1, schedule: "constant", warmupSteps: 0, finalFraction: 0 } as const;
  const rates = (schedule: Parameters<typeof learningRateAt>[0], total: number) =>
    Array.from({ length: total }, (_, index) => learningRateAt(schedule, index, total));

  it("is constant without warm-up", () => {
    expect(rates(peak, 3)).toEqual([1, 1, 1]);
  });

  it("warms up linearly, from above zero to the peak", () => {
    expect(rates({ ...peak, warmupSteps: 4 }, 6)).toEqual([0.25, 0.5, 0.75, 1, 1, 1]);
  });

  it("decays linearly towards the final fraction", () => {
    const linear = rates({ ...peak, schedule: "linear", warmupSteps: 1, finalFraction: 0.5 }, 5);
    for (const [i, rate] of [1, 1, 0.875, 0.75, 0.625].entries()) expect(linear[i]).toBeCloseTo(rate, 12);
  });

  it("decays along a half cosine", () => {
    const cosine = rates({ ...peak, schedule: "cosine" }, 4);
    const expected = [1, 0.5 + Math.SQRT1_2 / 2, 0.5, 0.5 - Math.SQRT1_2 / 2];
    for (const [i, rate] of expected.entries()) expect(cosine[i]).toBeCloseTo(rate, 12);
  });
});
