import { mean } from "./descriptive.js";
import type { Estimate } from "./estimate.js";

const RESAMPLES = 1000;

/**
 * Mean of `values` with a 95 % percentile-bootstrap interval over them. Resamples come from a fixed seed, so that the
 * same values always give the same interval. NaN throughout for an empty array.
 */
export function bootstrapMean(values: readonly number[]): Estimate {
  const n = values.length;
  if (n === 0) return { value: Number.NaN, low: Number.NaN, high: Number.NaN };
  const value = mean(values);
  const random = mulberry32(0x9e3779b9);
  const means = new Float64Array(RESAMPLES);
  for (let r = 0; r < RESAMPLES; r++) {
    let sum = 0;
    for (let i = 0; i < n; i++) sum += values[Math.floor(random() * n)]!;
    means[r] = sum / n;
  }
  means.sort();
  const at = (quantile: number) => means[Math.round(quantile * (RESAMPLES - 1))]!;
  return { value, low: at(0.025), high: at(0.975) };
}

/** Small fixed generator: the interval needs no cryptographic or long-period source. */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
