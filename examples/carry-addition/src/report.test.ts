import { describe, expect, it } from "vitest";
import { renderPlot } from "./plot.js";
import { renderPage } from "./report.js";
import { advantages, type Method, type MethodRecord, verdict } from "./summary.js";
import { formatTable } from "./table.js";

function record(method: Method, seed: number, greedy: number): MethodRecord {
  const before = {
    heldOut: { greedy: 0.25, pass1: 0.24, pass8: 0.26 },
    outOfDistribution: 0,
    persistentFailures: 384,
  };
  return {
    method,
    seed,
    heldOut: { greedy, pass1: greedy - 0.05, pass8: greedy + 0.1 },
    outOfDistribution: greedy,
    persistentFailures: 512 * (1 - greedy),
    sampledTokens: 150_000,
    seconds: 40,
    before,
    curve: [
      { step: 0, sampledTokens: 0, greedy: 0.25 },
      { step: 60, sampledTokens: 150_000, greedy },
    ],
  };
}

const records = [1, 2].flatMap((seed) => [record("dr-grpo", seed, 0.25), record("critique-grpo", seed, 0.75)]);

describe("the report", () => {
  it("says in how many seeds Critique-GRPO is clearly above, and by how much", () => {
    expect(verdict(records)).toContain("in 2 of 2 seeds (greedy, +50.0 points on average)");
    expect(verdict([record("dr-grpo", 3, 0.5), record("critique-grpo", 3, 0.4)])).toContain(
      "0 of 1 seeds (greedy, −10.0",
    );
    expect(advantages([record("critique-grpo", 3, 0.4)])).toEqual([]);
  });

  it("prints the model before, each method, and means over several seeds", () => {
    const lines = formatTable(records).split("\n");
    expect(lines.filter((line) => line.startsWith("warm-up"))).toHaveLength(3);
    expect(lines.filter((line) => line.startsWith("critique-grpo"))).toHaveLength(3);
    expect(lines.at(-1)).toMatch(/^critique-grpo +mean +75\.0 % +70\.0 % +85\.0 % +75\.0 % +128 +150,000 +40$/);
    expect(formatTable(records.slice(0, 2))).not.toContain("mean");
  });

  it("draws a line a method and seed, in a file that needs no other", () => {
    const svg = renderPlot(records);
    expect(svg.match(/<polyline/g)).toHaveLength(4);
    expect(svg).not.toMatch(/NaN|undefined|href|<script/);
    const page = renderPage(records, ["a <note>"]);
    expect(page).toContain("a &lt;note&gt;");
    expect(page).not.toMatch(/NaN|undefined|href|<script/);
  });
});
