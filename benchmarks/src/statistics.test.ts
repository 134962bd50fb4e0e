import { expect, test } from "vitest";
import { median } from "./statistics.js";

test("the median ignores order and outliers", () => {
  expect(median([9, 1, 1000])).toBe(9);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([])).toBeNaN();
});
