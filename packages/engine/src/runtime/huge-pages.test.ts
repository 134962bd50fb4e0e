import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { streamedArray } from "./huge-pages.js";

const ELEMENTS = 8 * 2 ** 20;
const offered =
  process.platform === "linux" &&
  /\[(always|madvise)\]/.test(readFileSync("/sys/kernel/mm/transparent_hugepage/enabled", "utf8"));

test("arrays are zeros of the length asked for, whatever their size", () => {
  for (const length of [0, 1, 1000, ELEMENTS]) {
    const array = streamedArray(length);
    expect(array).toHaveLength(length);
    expect(array.every((value) => value === 0)).toBe(true);
    array.fill(1);
    expect(array.at(-1)).toBe(length === 0 ? undefined : 1);
  }
});

test.skipIf(!offered)("large ones are marked for huge pages", () => {
  const marked = () => readFileSync("/proc/self/smaps", "utf8").match(/^VmFlags:.* hg\b/gm)?.length ?? 0;
  const before = marked();
  const array = streamedArray(ELEMENTS);
  expect(marked()).toBeGreaterThan(before);
  expect(array).toHaveLength(ELEMENTS);
});
