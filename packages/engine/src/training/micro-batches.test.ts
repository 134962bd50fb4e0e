import fc from "fast-check";
import { expect, test } from "vitest";
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
