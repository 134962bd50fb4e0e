/** What a run directory tells over time, one series a metric. */
import { basename, resolve } from "node:path";
import { type ObservedStatus, readEvaluations, readMetrics, readRunConfig, readStatus } from "../run/readers.js";
import type { EvaluationRecord, MetricsRecord } from "../run/records.js";

/** A value with where it stands on each of the axes that a comparison may have. */
export interface SeriesPoint {
  readonly step: number;
  /** Tokens sampled up to here; 0 in supervised training. */
  readonly tokens: number;
  /** Wall time of the steps up to here. */
  readonly seconds: number;
  readonly value: number;
}

export interface ComparedRun {
  readonly directory: string;
  readonly name: string;
  /** As it was written, not validated. */
  readonly config: unknown;
  readonly state: ObservedStatus["state"] | null;
  /** Ascending in steps; values that are not numbers are left out. Evaluations stand under `evaluation/…`. */
  readonly series: ReadonlyMap<string, readonly SeriesPoint[]>;
}

type Place = Omit<SeriesPoint, "value">;

/** @throws Error if the directory holds no run or a record is damaged. */
export async function readComparedRun(directory: string): Promise<ComparedRun> {
  const config = await readRunConfig(directory);
  const metrics = await readMetrics(directory);
  const series = new Map<string, SeriesPoint[]>();
  const add = (name: string, place: Place, value: unknown) => {
    if (typeof value !== "number" || !Number.isFinite(value)) return;
    const points = series.get(name);
    if (points) points.push({ ...place, value });
    else series.set(name, [{ ...place, value }]);
  };
  const places: Place[] = [{ step: 0, tokens: 0, seconds: 0 }];
  for (const record of metrics) {
    const place = nextPlace(places.at(-1)!, record);
    places.push(place);
    for (const [name, value] of Object.entries(record)) {
      if (name !== "schemaVersion" && name !== "step" && name !== "time") add(name, place, value);
    }
  }
  for (const record of await readEvaluations(directory)) {
    const place = places.findLast(({ step }) => step <= record.step) ?? places[0]!;
    for (const [name, value] of evaluationValues(record)) add(name, { ...place, step: record.step }, value);
  }
  const state = (await readStatus(directory))?.state ?? null;
  return { directory, name: basename(resolve(directory)), config, state, series };
}

function nextPlace(before: Place, record: MetricsRecord): Place {
  const number = (key: string) => (typeof record[key] === "number" ? record[key] : 0);
  return {
    step: record.step,
    tokens: number("tokens/generated_total"),
    seconds: before.seconds + number("seconds/step"),
  };
}

/** The numbers of an evaluation record; what another version wrote otherwise is left out. */
function evaluationValues(record: EvaluationRecord): [string, unknown][] {
  const estimate = (value: unknown) => (value as { value?: unknown } | undefined)?.value;
  const passAt = Array.isArray(record.passAt) ? (record.passAt as { k: number; value: number }[]) : [];
  return [
    ["evaluation/pass@1", estimate(record.pass1)],
    ...passAt.filter(({ k }) => k > 1).map(({ k, value }): [string, unknown] => [`evaluation/pass@${k}`, value]),
    ["evaluation/greedy", estimate(record.greedy)],
    ["evaluation/majority", estimate(record.majority)],
    ["evaluation/persistent_failures", record.persistentFailures],
    ["evaluation/mean_length", (record.lengths as { mean?: unknown } | undefined)?.mean],
  ];
}
