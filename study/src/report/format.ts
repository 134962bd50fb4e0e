/** Numbers in a Markdown table. */
import type { SampleEstimate } from "./evidence.js";

/** "62.1 ± 4.0"; without an interval where there is one seed; "–" where nothing was counted. */
export function percent(value: SampleEstimate | null): string {
  return withMargin(value, (number) => (100 * number).toFixed(1));
}

/** Percentage points with a sign: "+12.3 ± 4.0". */
export function points(value: SampleEstimate | null): string {
  if (value === null) return "–";
  return `${value.value < 0 ? "−" : "+"}${percent({ ...value, value: Math.abs(value.value), ...bounds(value) })}`;
}

/** The interval around the absolute value: as wide as that around the value. */
function bounds({ value, high }: SampleEstimate): Pick<SampleEstimate, "low" | "high"> {
  return { low: Math.abs(value) - (high - value), high: Math.abs(value) + (high - value) };
}

export function plain(value: SampleEstimate | null, digits: number): string {
  return withMargin(value, (number) => number.toFixed(digits).replace("-", "−"));
}

/** 120,345, without an interval. */
export function count(value: SampleEstimate | null): string {
  return value === null ? "–" : Math.round(value.value).toLocaleString("en-US");
}

function withMargin(value: SampleEstimate | null, format: (number: number) => string): string {
  if (value === null) return "–";
  const margin = value.high - value.value;
  return Number.isFinite(margin) ? `${format(value.value)} ± ${format(margin)}` : format(value.value);
}

export function markdownTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const rule = header.map((_, index) => (index === 0 ? "---" : "---:"));
  return [line(header), line(rule), ...rows.map(line)].join("\n");
}
