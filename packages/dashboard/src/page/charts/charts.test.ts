import { describe, expect, it } from "vitest";
import { curvePoints, linePath, lonePoints, nearest, smoothed } from "./curve.js";
import { csv } from "./export.js";
import { linearScale, paddedExtent, ticks } from "./scale.js";

describe("axes", () => {
  it("have round ticks inside the range", () => {
    expect(ticks(0, 1, 4)).toEqual([0, 0.25, 0.5, 0.75, 1]);
    expect(ticks(0.13, 0.98, 4)).toEqual([0.25, 0.5, 0.75]);
    expect(ticks(3, 3, 4)).toEqual([3]);
  });

  it("give a flat line room, and start at the minimum where nothing is below", () => {
    expect(paddedExtent([2, 2])).toEqual([1, 3]);
    expect(paddedExtent([])).toEqual([0, 1]);
    expect(paddedExtent([0.5, 1], 0)[0]).toBe(0);
    expect(paddedExtent([-1, 1], 0)[0]).toBeLessThan(-1);
  });
});

describe("curves", () => {
  const points = curvePoints([
    [1, 0],
    [2, null],
    [3, 1],
    [4, 1],
  ]);
  const x = linearScale(0, 4, 0, 40);
  const y = linearScale(0, 1, 10, 0);

  it("are interrupted where there is nothing, and show a lone point", () => {
    expect(linePath(points, x, y)).toBe("M10 10M30 0L40 0");
    expect(lonePoints(points).map(({ step }) => step)).toEqual([1]);
    expect(nearest(points, 2.2)?.step).toBe(3);
  });

  it("are smoothed without a bias at the beginning", () => {
    const constant = smoothed(
      curvePoints([
        [1, 5],
        [2, 5],
        [3, null],
        [4, 5],
      ]),
      0.9,
    );
    expect(constant.map(({ value }) => (value === null ? null : Number(value.toFixed(9))))).toEqual([5, 5, null, 5]);
  });
});

it("text that a spreadsheet would calculate is text in a CSV file", () => {
  expect(
    csv(
      ["a", "b"],
      [
        ['=HYPERLINK("x")', -1],
        ["@x", null],
        ["a,b", 2],
      ],
    ),
  ).toBe(`a,b\r\n"'=HYPERLINK(""x"")",-1\r\n'@x,\r\n"a,b",2`);
});
