import { expect, test } from "vitest";
import { parseOptions } from "./options.js";
import { allRows, rowGroups } from "./rows/index.js";

const names = (argv: string[]) => parseOptions(argv).rows.map(({ name }) => name);

test("everything is measured in seven rounds unless told otherwise", () => {
  expect(parseOptions([])).toMatchObject({ rounds: 7, rows: allRows, quick: false });
  expect(parseOptions(["--quick"]).rounds).toBe(3);
  expect(parseOptions(["--quick", "--rounds", "5"]).rounds).toBe(5);
});

test("rows are chosen by group and by name, in the order of the table", () => {
  expect(names(["--only", "grpo-step", "--only", "training"])).toEqual(["training", "grpo-step"]);
  expect(names(["--rows", "generation"])).toEqual(rowGroups.generation.map(({ name }) => name));
  expect(names(["--rows", "generation", "--only", "training", "--only", "generation"])).toEqual([
    "training",
    ...rowGroups.generation.map(({ name }) => name),
  ]);
});

test("no two rows have the same name", () => {
  expect(new Set(names([])).size).toBe(allRows.length);
});

test.each([
  [["--rounds", "0"], /--rounds is 0/],
  [["--rounds", "many"], /--rounds is many/],
  [["--threads", "1.5"], /--threads is 1.5/],
  [["--only", "trainning"], /--only trainning: there are training/],
  [["--rows", "speed"], /--rows speed: there are training/],
  [["--jsno", "x"], /--jsno/],
])("%j is refused by name", (argv, message) => {
  expect(() => parseOptions(argv)).toThrow(message);
});
