/** Confidence intervals of means over a few independent runs. */
import { mean, sampleStd } from "./descriptive.js";
import type { Estimate } from "./estimate.js";

/**
 * Mean with the two-sided Student-t interval: value ± t(n − 1) · s / √n. For few values that are about normal, such as one
 * number a seed; for a mean over questions the bootstrap is the better one. A single value has an infinite interval.
 */
export function tInterval(values: readonly number[], level = 0.95): Estimate {
  const value = mean(values);
  if (values.length < 2) return { value, low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY };
  const margin = (studentQuantile((1 + level) / 2, values.length - 1) * sampleStd(values)) / Math.sqrt(values.length);
  return { value, low: value - margin, high: value + margin };
}

/** The value below which a t-distributed variable lies with this probability, by bisection of the distribution function. */
export function studentQuantile(probability: number, degrees: number): number {
  if (!(probability > 0 && probability < 1))
    throw new RangeError(`probability must be in (0, 1); it is ${probability}`);
  if (!(Number.isInteger(degrees) && degrees >= 1)) {
    throw new RangeError(`degrees of freedom must be a whole number of at least 1; it is ${degrees}`);
  }
  if (probability < 0.5) return -studentQuantile(1 - probability, degrees);
  let [low, high] = [0, 1];
  while (studentCumulative(high, degrees) < probability) high *= 2;
  for (let step = 0; step < 100 && low < high; step++) {
    const middle = (low + high) / 2;
    if (studentCumulative(middle, degrees) < probability) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** P(T ≤ t) for t ≥ 0 and whole degrees of freedom: the finite sums of Abramowitz and Stegun, 26.7.3 and 26.7.4. */
function studentCumulative(t: number, degrees: number): number {
  const angle = Math.atan(t / Math.sqrt(degrees));
  const [sine, cosine] = [Math.sin(angle), Math.cos(angle)];
  const odd = degrees % 2 === 1;
  let term = odd ? cosine : 1;
  let sum = degrees === 1 ? 0 : term;
  for (let k = odd ? 3 : 2; k < degrees; k += 2) {
    term *= ((k - 1) / k) * cosine * cosine;
    sum += term;
  }
  const between = odd ? (2 / Math.PI) * (angle + sine * sum) : sine * sum;
  return (1 + between) / 2;
}
