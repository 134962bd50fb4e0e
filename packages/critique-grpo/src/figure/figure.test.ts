import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { renderLineFigure } from "./line-figure.js";
import { niceTicks } from "./ticks.js";

describe("niceTicks", () => {
  it("covers the values with a few round marks", () => {
    expect(niceTicks([0, 90], 4)).toEqual([0, 25, 50, 75, 100]);
    expect(niceTicks([0.21, 0.74], 4)).toEqual([0.2, 0.4, 0.6, 0.8]);
    expect(niceTicks([3], 4)).toHaveLength(5);
    const value = fc.double({ min: -1e6, max: 1e6, noNaN: true });
    fc.assert(
      fc.property(fc.array(value, { minLength: 1, maxLength: 20 }), (values) => {
        const ticks = niceTicks(values, 4);
        const slack = 1e-6 * (ticks.at(-1)! - ticks[0]!);
        expect(ticks.length).toBeGreaterThanOrEqual(2);
        expect(ticks.length).toBeLessThanOrEqual(7);
        expect(ticks[0]!).toBeLessThanOrEqual(Math.min(...values) + slack);
        expect(ticks.at(-1)!).toBeGreaterThanOrEqual(Math.max(...values) - slack);
      }),
    );
  });
});

describe("renderLineFigure", () => {
  const line = (label: string, values: readonly number[]) => ({
    label,
    points: values.map((y, x) => ({ x, y, low: y - 0.1, high: y + 0.1 })),
  });
  const draw = (lines: readonly ReturnType<typeof line>[]) =>
    renderLineFigure([{ title: "reward", xTitle: "step", lines }], { description: "a figure" });

  it("draws a line and a band for each label, and names it once in the legend", () => {
    const svg = draw([line("ours", [0, 0.5, 1]), line("theirs", [0, 0.2, 0.3])]);
    expect(svg.match(/<polyline/g)).toHaveLength(2);
    expect(svg.match(/<polygon/g)).toHaveLength(2);
    expect(svg.match(/>ours</g)).toHaveLength(2);
  });

  it("has higher values further up, and time from left to right", () => {
    const points = /<polyline points="([^"]+)"/.exec(draw([line("rising", [0, 1, 2])]))![1]!;
    const [first, , last] = points.split(" ").map((point) => point.split(",").map(Number));
    expect(last![0]!).toBeGreaterThan(first![0]!);
    expect(last![1]!).toBeLessThan(first![1]!);
  });

  it("leaves out what is no number, and has no band of an infinite interval", () => {
    const points = [0, Number.NaN, 1].map((y, x) => ({
      x,
      y,
      low: Number.NEGATIVE_INFINITY,
      high: Number.POSITIVE_INFINITY,
    }));
    const svg = draw([{ label: "a", points }]);
    expect(svg).not.toMatch(/NaN|Infinity|<polygon/);
    expect(draw([])).toContain("no values");
  });

  it("shows markup in labels as text", () => {
    expect(draw([line("<script>", [1, 2])])).not.toContain("<script>");
  });
});
