import { expect, test } from "vitest";
import { parseOptions } from "./options.js";

test("everything is measured in seven rounds unless told otherwise", () => {
  expect(parseOptions([])).toMatchObject({ rounds: 7, only: ["training", "generation", "grpo-step"], quick: false });
  expect(parseOptions(["--quick"]).rounds).toBe(3);
  expect(parseOptions(["--quick", "--rounds", "5"]).rounds).toBe(5);
  expect(parseOptions(["--only", "training", "--only", "grpo-step"]).only).toEqual(["training", "grpo-step"]);
});

test.each([
  [["--rounds", "0"], /--rounds is 0/],
  [["--rounds", "many"], /--rounds is many/],
  [["--threads", "1.5"], /--threads is 1.5/],
  [["--only", "trainning"], /--only trainning: there are training/],
  [["--jsno", "x"], /--jsno/],
])("%j is refused by name", (argv, message) => {
  expect(() => parseOptions(argv)).toThrow(message);
});
