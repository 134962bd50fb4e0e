import type { Series, SeriesPoint } from "@critique-grpo/dashboard";
import type { MetricsIndex } from "./metrics-index.js";

/** Steps a point must stand for so that at most `points` are left of `rows`: 1, 2, 5, 10, 20, … */
export function bucketSize(rows: number, points: number): number {
  let size = 1;
  for (const factor of cycle([2, 2.5, 2])) {
    if (rows / size <= points) break;
    size *= factor;
  }
  return size;
}

/**
 * A metric over rows [from, to), buckets of `size` rows: mean, lowest and highest value. Buckets begin at multiples of
 * their size, so that points stay where they are while a run grows. Gaps (nothing counted) stay gaps.
 */
export function downsample(index: MetricsIndex, metric: string, from: number, to: number, size: number): Series {
  const points: SeriesPoint[] = [];
  for (let start = Math.floor(from / size) * size; start < to; start += size) {
    const point = bucket(index, metric, Math.max(start, from), Math.min(start + size, to), size);
    points.push(point);
  }
  return { metric, points };
}

function bucket(index: MetricsIndex, metric: string, from: number, to: number, size: number): SeriesPoint {
  const step = index.step(to - 1);
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  let sum = 0;
  let count = 0;
  for (let row = from; row < to; row++) {
    const value = index.value(metric, row);
    if (Number.isNaN(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
    sum += value;
    count++;
  }
  if (count === 0) return [step, null];
  const mean = shorten(sum / count);
  return size === 1 ? [step, mean] : [step, mean, shorten(low), shorten(high)];
}

/** Six digits are more than a screen can show. */
function shorten(value: number): number {
  return Number(value.toPrecision(6));
}

function* cycle(values: readonly number[]): Generator<number> {
  for (;;) yield* values;
}
