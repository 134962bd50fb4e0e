const ROUNDING = 1e-9;

/**
 * About `count` round numbers, evenly spaced, from at most the least to at least the greatest of the values: the ends of an
 * axis and the marks on it. At least two. @throws RangeError on an empty list.
 */
export function niceTicks(values: readonly number[], count: number): number[] {
  if (values.length === 0) throw new RangeError("an axis needs at least one value");
  let low = values.reduce((a, b) => Math.min(a, b));
  let high = values.reduce((a, b) => Math.max(a, b));
  const size = Math.max(Math.abs(low), Math.abs(high));
  // Values that differ by rounding alone are one value.
  if (high - low <= ROUNDING * Math.max(size, ROUNDING)) {
    const margin = size > ROUNDING ? size / 2 : 0.5;
    [low, high] = [low - margin, high + margin];
  }
  const rough = (high - low) / count;
  const magnitude = 10 ** Math.floor(Math.log10(rough));
  const step = magnitude * ([1, 2, 2.5, 5, 10].find((factor) => factor * magnitude >= rough * (1 - ROUNDING)) ?? 10);
  // A rounding error must not add a mark beyond a value that lies on one.
  const first = Math.floor(low / step + ROUNDING);
  const last = Math.ceil(high / step - ROUNDING);
  return Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}
