import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RandomStream } from "../generation/random.js";
import { planLanes, planMicroBatches } from "./micro-batches.js";

test("every sequence runs once, within the budget or alone", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 40 }),
      fc.integer({ min: 1, max: 200 }),
      (lengths, budget) => {
        const batches = planMicroBatches(lengths, budget);
        expect(batches.flatMap(({ members }) => members).sort((a, b) => a - b)).toEqual(lengths.map((_, i) => i));
        for (const { members, time } of batches) {
          expect(time).toBe(Math.max(...members.map((index) => lengths[index]!)));
          expect(members.length === 1 || members.length * time <= budget).toBe(true);
        }
      },
    ),
  );
});

test("similar lengths share a batch, so that little is padded", () => {
  expect(planMicroBatches([2, 9, 3, 10], 20)).toEqual([
    { members: [3, 1], time: 10 },
    { members: [2, 0], time: 3 },
  ]);
});

describe("padding stays below 5 % of what is computed", () => {
  /** Share of padding, and micro-batches, on two lanes with the default budget. */
  const planned = (lengths: readonly number[]) => {
    const batches = planLanes(lengths, 1024, 2).flat();
    const computed = batches.reduce((sum, { members, time }) => sum + members.length * time, 0);
    return { padding: 1 - lengths.reduce((a, b) => a + b, 0) / computed, count: batches.length };
  };

  test("questions and solutions of GSM8K", () => {
    const path = new URL("../../../../benchmarks/workloads/gsm8k-lengths.json", import.meta.url);
    const { lengths } = JSON.parse(readFileSync(path, "utf8")) as { lengths: [prompt: number, response: number][] };
    const { padding, count } = planned(lengths.map(([prompt, response]) => prompt + response - 1));
    expect(padding).toBeLessThan(0.05);
    expect(count).toBeLessThan(lengths.length / 2);
  });

  test.each([
    [128, 64],
    [64, 1024],
    [2048, 300],
  ])("%d completions that end anywhere up to %d tokens", (count, longest) => {
    const stream = new RandomStream(1, count);
    expect(planned(Array.from({ length: count }, () => 8 + Math.floor(longest * stream.next()))).padding).toBeLessThan(
      0.05,
    );
  });

  test("and equal lengths are not taken apart for it", () => {
    expect(planned(new Array(64).fill(64))).toEqual({ padding: 0, count: 4 });
  });
});

test("lanes get even shares, also when everything would fit into one micro-batch", () => {
  expect(planLanes(new Array(32).fill(127), 1024, 2).map((batches) => batches.map((b) => b.members.length))).toEqual([
    [8, 8],
    [8, 8],
  ]);
  expect(planLanes([5, 5, 5, 5], 1000, 2).map((batches) => batches.flatMap((b) => b.members))).toEqual([
    [0, 1],
    [2, 3],
  ]);
  expect(planLanes([], 1000, 2)).toEqual([[], []]);
});
