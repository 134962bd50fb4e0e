import fc from "fast-check";
import { expect, test } from "vitest";
import { planMicroBatches } from "./micro-batches.js";

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
