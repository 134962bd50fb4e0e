/** Axes. */

export interface Scale {
  readonly from: number;
  readonly to: number;
  readonly at: (value: number) => number;
}

export function linearScale(from: number, to: number, start: number, end: number): Scale {
  const span = to - from || 1;
  return { from, to, at: (value) => start + ((value - from) / span) * (end - start) };
}

/** Round values inside [from, to], about `count` of them. */
export function ticks(from: number, to: number, count: number): number[] {
  const span = to - from;
  if (!(span > 0)) return [from];
  const rough = span / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough) ?? 10);
  const found: number[] = [];
  for (let i = Math.ceil(from / step - 1e-9); i * step <= to + step * 1e-9; i++)
    found.push(Number((i * step).toPrecision(12)));
  return found;
}

/** The extent of values with a margin; a flat line gets room around it. */
export function paddedExtent(values: Iterable<number>, minimum?: number): readonly [number, number] {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low > high) return [0, 1];
  if (low === high) {
    if (low === 0) return [0, 1];
    const room = Math.abs(low) / 2;
    return [minimum !== undefined && low - room < minimum ? minimum : low - room, high + room];
  }
  const margin = 0.06 * (high - low);
  const bottom = minimum !== undefined && low >= minimum ? minimum : low - margin;
  return [bottom, high + margin];
}
