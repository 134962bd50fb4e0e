/** A run's state, curves and comparison with others. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import type {
  Comparison,
  RunEventLine,
  RunListing,
  RunOverview,
  RunSummary,
  SeriesAnswer,
} from "@critique-grpo/dashboard";
import { configDifferences } from "../../run/config-hash.js";
import { readIfPresent } from "../../run/files.js";
import { listRunCheckpoints, readRunConfig } from "../../run/readers.js";
import type { EventRecord } from "../../run/records.js";
import { CONFIG_FILE, EVENTS_FILE } from "../../run/run-directory.js";
import { type ObservedStatus, readStatus } from "../../run/status.js";
import { bucketSize, downsample } from "../data/downsample.js";
import { readLastLines } from "../data/lines.js";
import type { MetricsIndex } from "../data/metrics-index.js";
import type { RunPlace, Runs } from "../data/runs.js";
import { evaluationCount } from "./evaluations.js";
import { healthFlags } from "./health.js";

const SPARKLINE_POINTS = 60;
const EVENT_BYTES = 64 * 1024;
const MAX_CONFIG_BYTES = 1 << 20;

/** null where the directory has no status, or one that cannot be read. */
export async function observedStatus(directory: string): Promise<ObservedStatus | null> {
  return readStatus(directory).catch(() => null);
}

export async function listRuns(runs: Runs): Promise<RunListing> {
  const { runs: places, truncated } = await runs.list();
  const summaries: RunSummary[] = [];
  for (const place of places.values()) summaries.push(await runSummary(runs, place));
  return { root: runs.root, runs: summaries, truncated };
}

export async function runSummary(runs: Runs, place: RunPlace): Promise<RunSummary> {
  return summarise(place, await observedStatus(place.directory), await runs.metrics(place));
}

export async function runOverview(runs: Runs, place: RunPlace): Promise<RunOverview> {
  const { directory } = place;
  const [status, metrics, steps] = await Promise.all([
    observedStatus(directory),
    runs.metrics(place),
    runs.rollouts(place).steps(),
  ]);
  return {
    ...summarise(place, status, metrics),
    host: status?.host ?? null,
    pid: status?.pid ?? null,
    firstStep: metrics.rows === 0 ? 0 : metrics.step(0),
    lastStep: metrics.rows === 0 ? 0 : metrics.step(metrics.rows - 1),
    metrics: metrics.metrics,
    health: healthFlags(metrics, status),
    events: await newestEvents(directory),
    checkpoints: await listRunCheckpoints(directory),
    config: await configText(directory),
    rolloutSteps: steps.length === 0 ? null : { count: steps.length, first: steps[0]!, last: steps.at(-1)! },
    evaluations: await evaluationCount(directory),
  };
}

/** Metrics between two steps, at most about `points` each. */
export async function runSeries(
  runs: Runs,
  place: RunPlace,
  wanted: { readonly metrics: readonly string[]; readonly from: number; readonly to: number; readonly points: number },
): Promise<SeriesAnswer> {
  const metrics = await runs.metrics(place);
  const from = metrics.rowOf(wanted.from);
  const to = metrics.rowOf(wanted.to + 1);
  const size = bucketSize(to - from, wanted.points);
  const known = new Set(metrics.metrics);
  const series = wanted.metrics
    .filter((metric) => known.has(metric))
    .map((metric) => downsample(metrics, metric, from, to, size));
  return { runId: place.id, bucketSteps: size, series };
}

/** Every step of the metrics, as CSV, in pieces. */
export async function* seriesCsv(runs: Runs, place: RunPlace, wanted: readonly string[]): AsyncGenerator<string> {
  const metrics = await runs.metrics(place);
  const known = new Set(metrics.metrics);
  const columns = wanted.filter((metric) => known.has(metric));
  yield `${["step", ...columns].join(",")}\n`;
  for (let row = 0; row < metrics.rows; row++) {
    const values = columns.map((metric) => metrics.value(metric, row));
    yield `${[metrics.step(row), ...values.map((value) => (Number.isNaN(value) ? "" : value))].join(",")}\n`;
  }
}

export async function compareRuns(runs: Runs, places: readonly RunPlace[]): Promise<Comparison> {
  const summaries: RunSummary[] = [];
  const configs: unknown[] = [];
  const metrics = new Set<string>();
  for (const place of places) {
    summaries.push(await runSummary(runs, place));
    configs.push(await readRunConfig(place.directory).catch(() => ({})));
    for (const metric of (await runs.metrics(place)).metrics) metrics.add(metric);
  }
  const keys = new Set(configs.slice(1).flatMap((config) => configDifferences(configs[0], config)));
  const differences = [...keys].sort().map((key) => ({
    key,
    values: configs.map((config) => {
      const value = valueAt(config, key);
      return value === undefined ? null : JSON.stringify(value);
    }),
  }));
  return { runs: summaries, metrics: [...metrics], differences };
}

function summarise(place: RunPlace, status: ObservedStatus | null, metrics: MetricsIndex): RunSummary {
  const shown = metrics.metrics.includes("reward") ? "reward" : "loss";
  const size = Math.max(1, Math.ceil(metrics.rows / SPARKLINE_POINTS));
  const last = metrics.rows === 0 ? 0 : metrics.step(metrics.rows - 1);
  return {
    id: place.id,
    task: status?.task ?? null,
    state: status?.state ?? "unknown",
    step: status?.step ?? last,
    steps: status?.steps ?? last,
    phase: status?.state === "running" ? status.phase : null,
    startedAt: status?.startedAt ?? null,
    heartbeatAt: status?.heartbeatAt ?? null,
    error: status?.error ?? null,
    reward: metrics.latest("reward"),
    initialAccuracy: metrics.latest("initial_accuracy"),
    refinedAccuracy: metrics.latest("refinement/accuracy"),
    sparkline: downsample(metrics, shown, 0, metrics.rows, size).points.map(([, mean]) => mean),
  };
}

async function newestEvents(directory: string): Promise<RunEventLine[]> {
  const lines = await readLastLines(join(directory, EVENTS_FILE), EVENT_BYTES);
  return lines.flatMap((line) => {
    try {
      const { time, step, type, message } = JSON.parse(line) as EventRecord;
      return [{ time, step, type, message: typeof message === "string" ? message : null }];
    } catch {
      return [];
    }
  });
}

async function configText(directory: string): Promise<string> {
  const path = join(directory, CONFIG_FILE);
  const { size } = await stat(path);
  if (size > MAX_CONFIG_BYTES) return `# ${path} has ${size} bytes and is not shown\n`;
  return (await readIfPresent(path)) ?? "";
}

function valueAt(config: unknown, key: string): unknown {
  return key
    .split(".")
    .reduce<unknown>((value, part) => (value as Readonly<Record<string, unknown>> | undefined)?.[part], config);
}
