import { describe, expect, it } from "vitest";
import type { CellResult } from "../cell.js";
import { families } from "../families/index.js";
import { methodNamed, methodsOf } from "../methods.js";
import { studyCells } from "../plan.js";
import { CLAIMS, claimsSection, verdict } from "./claims.js";
import { Evidence, estimate, greedy, greedyAtTokens } from "./evidence.js";
import { percent, points } from "./format.js";
import { renderReport } from "./write-report.js";

const accuracy = (value: number) => ({ greedy: value, pass1: value, pass8: value });
const nothing = { first: null, last: null };

function result(method: string, seed: number, value: number): CellResult {
  const measurement = (greedy: number) => ({
    heldOut: accuracy(greedy),
    heldOutBySource: { rare: accuracy(greedy) },
    length: 10,
    persistentFailures: 1 - greedy,
    refinement: { self: { wrong: 10, success: 0.6 } },
  });
  return {
    ...{
      schemaVersion: 1,
      family: "operations",
      method,
      seed,
      hash: "h",
      packageVersion: "0",
      node: "v20",
      weights: "w",
    },
    before: measurement(0.25),
    after: measurement(value),
    curve: [0, 10, 20].map((step) => ({ step, sampledTokens: 100 * step, greedy: (value * step) / 20 })),
    training: {
      ...{ steps: 20, sampledTokens: 2000, trainedTokens: 1800, unsolved: 0.1, cpuSeconds: 6, wallSeconds: 7 },
      ...{ entropy: { first: 0.3, last: 0.1 }, length: nothing, groupsWithoutSignal: nothing, fixRate: nothing },
      ...{ refinementProbability: nothing, gradientShare: nothing },
    },
  };
}

const evidence = new Evidence([
  ...[0.5, 0.55, 0.6].map((value, i) => result("dr-grpo", 101 + i, value)),
  ...[0.7, 0.76, 0.8].map((value, i) => result("critique-grpo-self", 101 + i, value)),
  result("critique-grpo-text", 101, 0.9),
]);

describe("evidence", () => {
  it("compares seed by seed: what seeds have in common does not widen the interval", () => {
    const difference = evidence.difference("operations", "critique-grpo-self", "dr-grpo", greedy)!;
    expect(difference.value).toBeCloseTo(0.61 / 3, 10);
    expect(difference.n).toBe(3);
    const alone = estimate(evidence.of("operations", "critique-grpo-self").map(greedy))!;
    expect(difference.high - difference.value).toBeLessThan((alone.high - alone.value) / 3);
    expect(evidence.difference("operations", "grpo", "dr-grpo", greedy)).toBeNull();
  });

  it("reads a learning curve at a number of tokens, and never beyond its end", () => {
    const run = result("dr-grpo", 1, 0.8);
    expect(greedyAtTokens(run, 1500)).toBeCloseTo(0.6, 12);
    expect(greedyAtTokens(run, 2000)).toBeCloseTo(0.8, 12);
    expect(greedyAtTokens(run, 2001)).toBeNull();
  });
});

describe("the report", () => {
  it("decides by the interval, and never on a seed or two", () => {
    const n = 5;
    expect(verdict({ value: 0.2, low: 0.1, high: 0.3, n })).toBe("**higher**");
    expect(verdict({ value: -0.2, low: -0.3, high: -0.1, n })).toBe("**lower**");
    expect(verdict({ value: 0.1, low: -0.1, high: 0.3, n })).toBe("no clear difference");
    expect(verdict({ value: 0.2, low: 0.1, high: 0.3, n: 2 })).toBe("too few seeds");
    expect(verdict(null)).toBe("not run yet");
  });

  it("writes numbers with their margin and sign", () => {
    expect(percent({ value: 0.5, low: 0.45, high: 0.55, n: 5 })).toBe("50.0 ± 5.0");
    expect(percent(estimate([0.5]))).toBe("50.0");
    expect(points({ value: -0.1, low: -0.12, high: -0.08, n: 5 })).toBe("−10.0 ± 2.0");
  });

  it("names what has not been run", () => {
    const gate = { passed: false, measured: { known: 0.9 } };
    const leftOut = { family: "operations", seed: 105, hash: "h", steps: 1000, gate } as const;
    const text = renderReport(studyCells(), evidence, [leftOut]);
    expect(text).toContain("7 of ");
    expect(text).toMatch(/critique-grpo-self − dr-grpo \| greedy \| \+20\.3 ± \d/);
    expect(text).toMatch(/critique-grpo-text − dr-grpo \| greedy \| \+40\.0 \| 1 \| too few seeds/);
    expect(text).toMatch(/Fewer than 5 seeds: dr-grpo \(3\)/);
    expect(text).toContain("Seed 105 was left out: its warm-up did not converge in 1000 steps (known 90.0 %)");
    expect(text).not.toMatch(/NaN|undefined|Infinity/);
  });

  it("has a claim's comparisons only of methods that there are", () => {
    for (const { comparisons } of CLAIMS) {
      for (const family of Object.values(families)) {
        for (const { method, other } of comparisons(family.name)) {
          expect(methodNamed(method).name).toBe(method);
          expect(methodNamed(other).name).toBe(other);
        }
      }
    }
    expect(claimsSection(new Evidence([]))).not.toMatch(/NaN|undefined/);
    expect(methodsOf(families["carry-addition"]).map(({ name }) => name)).not.toContain("critique-grpo-self");
  });
});
