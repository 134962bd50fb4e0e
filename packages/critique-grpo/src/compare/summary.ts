/** One number a run and metric: where it stood at the end. */
import { mean } from "../statistics/descriptive.js";
import type { Estimate } from "../statistics/estimate.js";
import { tInterval } from "../statistics/student-t.js";
import type { RunGroup } from "./groups.js";
import type { ComparedRun, SeriesPoint } from "./series.js";

/** Training metrics are noisy: their final value is the mean over this share of the steps. */
const LAST_SHARE = 0.1;

export interface MetricSummary extends Estimate {
  readonly metric: string;
  /** One a run that has the metric. */
  readonly values: readonly number[];
}

export interface GroupSummary {
  readonly label: string;
  readonly runs: readonly Pick<ComparedRun, "directory" | "state">[];
  /** Steps done, a run. */
  readonly steps: readonly number[];
  readonly metrics: readonly MetricSummary[];
}

/** Metrics that none of the group's runs has are left out. */
export function summariseGroup(group: RunGroup, metrics: readonly string[]): GroupSummary {
  return {
    label: group.label,
    runs: group.runs.map(({ directory, state }) => ({ directory, state })),
    steps: group.runs.map((run) => lastStep(run)),
    metrics: metrics.flatMap((metric): MetricSummary[] => {
      const values = group.runs.flatMap((run) => finalValue(metric, run.series.get(metric) ?? []));
      return values.length === 0 ? [] : [{ metric, values, ...tInterval(values) }];
    }),
  };
}

/** Of an evaluation and of a total the last value; of other metrics the mean over the last tenth of the steps. */
function finalValue(metric: string, points: readonly SeriesPoint[]): number[] {
  if (points.length === 0) return [];
  const last = metric.startsWith("evaluation/") || metric.endsWith("_total");
  const count = last ? 1 : Math.max(1, Math.round(LAST_SHARE * points.length));
  return [mean(points.slice(-count).map(({ value }) => value))];
}

function lastStep(run: ComparedRun): number {
  return Math.max(0, ...[...run.series.values()].map((points) => points.at(-1)!.step));
}
