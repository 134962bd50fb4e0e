/** What a chart draws: points by step, smoothed or not, as SVG paths. */
import type { SeriesPoint } from "../../contract/runs.js";
import type { Scale } from "./scale.js";

export interface CurvePoint {
  readonly step: number;
  /** Null: a gap. */
  readonly value: number | null;
  readonly low: number | null;
  readonly high: number | null;
}

export interface Curve {
  readonly label: string;
  /** Number of the colour, from 0. */
  readonly colour: number;
  readonly points: readonly CurvePoint[];
}

export function curvePoints(points: readonly SeriesPoint[]): CurvePoint[] {
  return points.map(([step, value, low, high]) => ({ step, value, low: low ?? value, high: high ?? value }));
}

/** Exponential moving average over what is there; unbiased at the beginning. `weight` in [0, 1). */
export function smoothed(points: readonly CurvePoint[], weight: number): CurvePoint[] {
  if (weight === 0) return [...points];
  let average = 0;
  let mass = 0;
  return points.map((point) => {
    if (point.value === null) return point;
    average = weight * average + (1 - weight) * point.value;
    mass = weight * mass + (1 - weight);
    return { ...point, value: average / mass };
  });
}

export function linePath(points: readonly CurvePoint[], x: Scale, y: Scale): string {
  let path = "";
  let open = false;
  for (const { step, value } of points) {
    if (value === null) {
      open = false;
      continue;
    }
    path += `${open ? "L" : "M"}${round(x.at(step))} ${round(y.at(value))}`;
    open = true;
  }
  return path;
}

/** The area between lowest and highest values. */
export function bandPath(points: readonly CurvePoint[], x: Scale, y: Scale): string {
  const there = points.filter((point) => point.low !== null && point.high !== null);
  if (there.length < 2) return "";
  const upper = there.map(({ step, high }) => `${round(x.at(step))} ${round(y.at(high!))}`);
  const lower = there.map(({ step, low }) => `${round(x.at(step))} ${round(y.at(low!))}`).reverse();
  return `M${upper.join("L")}L${lower.join("L")}Z`;
}

/** Points without a neighbour, which a line would not show. */
export function lonePoints(points: readonly CurvePoint[]): CurvePoint[] {
  return points.filter(
    (point, i) =>
      point.value !== null && (points[i - 1]?.value ?? null) === null && (points[i + 1]?.value ?? null) === null,
  );
}

/** The point nearest to a step that has a value. */
export function nearest(points: readonly CurvePoint[], step: number): CurvePoint | null {
  let best: CurvePoint | null = null;
  for (const point of points) {
    if (point.value === null) continue;
    if (best === null || Math.abs(point.step - step) < Math.abs(best.step - step)) best = point;
  }
  return best;
}

const round = (value: number) => Math.round(value * 10) / 10;
