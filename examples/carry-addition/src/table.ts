/** The printed table. */
import { METHODS, type Measurement, type MethodRecord, meanMeasurement } from "./summary.js";

interface Row {
  readonly method: string;
  readonly seed: string;
  readonly measurement: Measurement;
  readonly sampledTokens?: number;
  readonly seconds?: number;
}

/** A row for the warm-up and each method, by seed and (with several seeds) in the mean. */
export function tableRows(records: readonly MethodRecord[]): Row[] {
  const seeds = [...new Set(records.map((record) => record.seed))];
  const rows = seeds.flatMap((seed): Row[] => {
    const some = records.filter((record) => record.seed === seed);
    return [
      { method: "warm-up", seed: String(seed), measurement: some[0]!.before },
      ...some.map((record) => ({ ...record, seed: String(seed), measurement: record })),
    ];
  });
  if (seeds.length < 2) return rows;
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const bySeed = seeds.map((seed) => records.find((record) => record.seed === seed)!.before);
  rows.push({ method: "warm-up", seed: "mean", measurement: meanMeasurement(bySeed) });
  for (const method of METHODS) {
    const some = records.filter((record) => record.method === method);
    if (some.length === 0) continue;
    rows.push({
      method,
      seed: "mean",
      measurement: meanMeasurement(some),
      sampledTokens: mean(some.map((record) => record.sampledTokens)),
      seconds: mean(some.map((record) => record.seconds)),
    });
  }
  return rows;
}

export const TABLE_HEADER: readonly string[] = [
  "method",
  "seed",
  "greedy",
  "pass@1",
  "pass@8",
  "one carry",
  "persistent",
  "sampled tokens",
  "seconds",
];

export function tableCells({ method, seed, measurement, sampledTokens, seconds }: Row): string[] {
  const percent = (fraction: number) => `${(100 * fraction).toFixed(1)} %`;
  return [
    method,
    seed,
    percent(measurement.heldOut.greedy),
    percent(measurement.heldOut.pass1),
    percent(measurement.heldOut.pass8),
    percent(measurement.outOfDistribution),
    String(Math.round(measurement.persistentFailures)),
    sampledTokens === undefined ? "–" : Math.round(sampledTokens).toLocaleString("en"),
    seconds === undefined ? "–" : seconds.toFixed(0),
  ];
}

/** Plain text, columns aligned, an empty line between seeds. */
export function formatTable(records: readonly MethodRecord[]): string {
  const rows = tableRows(records).map(tableCells);
  const widths = TABLE_HEADER.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]!.length)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
      .join("  ")
      .trimEnd();
  const lines = [line(TABLE_HEADER), widths.map((width) => "─".repeat(width)).join("  ")];
  for (const [index, row] of rows.entries()) {
    if (index > 0 && row[1] !== rows[index - 1]![1]) lines.push("");
    lines.push(line(row));
  }
  return lines.join("\n");
}
