/** Reads a run directory, also one that is being written: a torn last line is left out. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "yaml";
import { listCheckpoints } from "./checkpoints.js";
import { readIfPresent, readJsonLines } from "./files.js";
import type { EvaluationRecord, EventRecord, MetricsRecord, RolloutRecord } from "./records.js";
import {
  CHECKPOINTS_DIRECTORY,
  CONFIG_FILE,
  EVALUATIONS_FILE,
  EVENTS_FILE,
  METRICS_FILE,
  ROLLOUTS_DIRECTORY,
  rolloutsName,
  rolloutsStep,
} from "./run-directory.js";

export { type ObservedStatus, readStatus } from "./status.js";

/** The resolved configuration as it was written, not validated. @throws Error if the directory holds no run. */
export async function readRunConfig(directory: string): Promise<unknown> {
  const content = await readIfPresent(join(directory, CONFIG_FILE));
  if (content === null) throw new Error(`${directory} holds no run: there is no ${CONFIG_FILE}`);
  return parse(content);
}

/** One record a step, ascending. */
export function readMetrics(directory: string): Promise<MetricsRecord[]> {
  return readJsonLines(join(directory, METRICS_FILE));
}

export function readEvaluations(directory: string): Promise<EvaluationRecord[]> {
  return readJsonLines(join(directory, EVALUATIONS_FILE));
}

export function readEvents(directory: string): Promise<EventRecord[]> {
  return readJsonLines(join(directory, EVENTS_FILE));
}

/** Steps that have rollouts, ascending. */
export async function listRolloutSteps(directory: string): Promise<number[]> {
  const names = await readdir(join(directory, ROLLOUTS_DIRECTORY)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [] as string[];
    throw error;
  });
  return names
    .map(rolloutsStep)
    .filter((step) => step !== null)
    .sort((a, b) => a - b);
}

/** One record a question of the step. */
export function readRollouts(directory: string, step: number): Promise<RolloutRecord[]> {
  return readJsonLines(join(directory, ROLLOUTS_DIRECTORY, rolloutsName(step)));
}

/** Steps that have a checkpoint, ascending. */
export function listRunCheckpoints(directory: string): Promise<number[]> {
  return listCheckpoints(join(directory, CHECKPOINTS_DIRECTORY));
}
