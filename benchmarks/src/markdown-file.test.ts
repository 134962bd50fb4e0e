import { expect, test } from "vitest";
import { replaceGenerated } from "./markdown-file.js";

test("only the part between the marks is replaced", () => {
  const first = replaceGenerated("# Benchmarks\n\nWhy.\n", "table 1");
  const withEnd = `${first}\nHow it is counted.\n`;
  const second = replaceGenerated(withEnd, "table 2");
  expect(second).toBe(withEnd.replace("table 1", "table 2"));
  expect(second).toMatch(/^# Benchmarks\n\nWhy\.\n\n<!--/);
});
