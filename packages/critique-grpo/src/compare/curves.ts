/** From series of runs to curves of groups: smoothing, then mean and interval over the runs at each step. */
import { mean } from "../statistics/descriptive.js";
import type { Estimate } from "../statistics/estimate.js";
import { tInterval } from "../statistics/student-t.js";
import type { RunGroup } from "./groups.js";
import type { SeriesPoint } from "./series.js";

export const AXES = ["step", "tokens", "seconds"] as const;
export type Axis = (typeof AXES)[number];

export interface CurvePoint extends Estimate {
  readonly step: number;
  /** Mean over the runs of the place on the axis. */
  readonly x: number;
  readonly runs: number;
}

/** Each value replaced by the mean of itself and the `window` − 1 before it, as far as there are any. */
export function smooth(points: readonly SeriesPoint[], window: number): SeriesPoint[] {
  return points.map((point, index) => {
    const some = points.slice(Math.max(0, index + 1 - window), index + 1);
    return { ...point, value: mean(some.map(({ value }) => value)) };
  });
}

/**
 * Mean over the group's runs at each step that all of them have, with a 95 % t-interval over runs; a group of one has
 * none (`low` and `high` are infinite). Evaluations are never smoothed: there are few, and each is a mean already.
 */
export function groupCurve(group: RunGroup, metric: string, axis: Axis, window = 1): CurvePoint[] {
  const series = group.runs.map((run) => run.series.get(metric) ?? []);
  const smoothed = metric.startsWith("evaluation/") ? series : series.map((points) => smooth(points, window));
  const byStep = smoothed.map((points) => new Map(points.map((point) => [point.step, point])));
  return (smoothed[0] ?? []).flatMap(({ step }): CurvePoint[] => {
    const points = byStep.map((map) => map.get(step));
    if (points.includes(undefined)) return [];
    const there = points as SeriesPoint[];
    return [
      {
        step,
        x: mean(there.map((point) => point[axis])),
        runs: there.length,
        ...tInterval(there.map(({ value }) => value)),
      },
    ];
  });
}
