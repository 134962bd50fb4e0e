/** Writes the run directory: the contract that dashboard, compare and resume read. docs/run-directory.md describes it. */

import { readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { InputError } from "../config/errors.js";
import {
  type Checkpoint,
  type CheckpointState,
  newestCheckpoint,
  pruneCheckpoints,
  writeCheckpoint,
} from "./checkpoints.js";
import { configDifferences, configHash, isBelow } from "./config-hash.js";
import type { RunEvent } from "./events.js";
import {
  appendJsonLine,
  dropTornLine,
  ensureDirectory,
  fileSize,
  jsonLine,
  readIfPresent,
  rewindFile,
  syncPath,
  writeFileAtomic,
} from "./files.js";
import { rolloutRecord, SCHEMA_VERSION } from "./records.js";
import { readStatus, StatusWriter } from "./status.js";

export const CONFIG_FILE = "config.yaml";
export const METRICS_FILE = "metrics.jsonl";
export const EVALUATIONS_FILE = "evaluations.jsonl";
export const EVENTS_FILE = "events.jsonl";
export const ROLLOUTS_DIRECTORY = "rollouts";
export const CHECKPOINTS_DIRECTORY = "checkpoints";
export const MODEL_DIRECTORY = "model";

/** Files that a resumed run cuts back to its checkpoint. Events are history and stay. */
const REWOUND = [METRICS_FILE, EVALUATIONS_FILE] as const;

export interface OpenOptions {
  /** Resolved configuration, written as config.yaml. */
  readonly config: object;
  /** Keys that a resumed run may have changed, a dot reaching into nested ones: they do not alter the result. */
  readonly volatileKeys: readonly string[];
  readonly task: "train" | "sft";
  readonly steps: number;
  /** Continue what the directory holds; otherwise it must not hold a run. */
  readonly resume: boolean;
}

/** What a sink is told and what a checkpoint needs, on disk. One process writes one run directory. */
export class RunDirectory {
  readonly path: string;
  /** Where the run continues; null = from the start. */
  readonly checkpoint: Checkpoint | null;
  readonly #status: StatusWriter;
  readonly #configHash: string;
  /** Files written since the last checkpoint. */
  readonly #unsynced: string[] = [];

  private constructor(path: string, checkpoint: Checkpoint | null, status: StatusWriter, hash: string) {
    this.path = path;
    this.checkpoint = checkpoint;
    this.#status = status;
    this.#configHash = hash;
  }

  /**
   * Starts a run in a new directory, or continues one: records after the checkpoint are cut off.
   * `warn` hears of checkpoints that were damaged.
   * @throws InputError if the directory holds a run and `resume` is off, another process is writing it, or the checkpoint
   * was written under another configuration; then nothing was changed.
   */
  static async open(path: string, options: OpenOptions, warn: (message: string) => void): Promise<RunDirectory> {
    await ensureDirectory(path);
    const status = await readStatus(path);
    if (status?.state === "running" && status.pid !== process.pid) {
      throw new InputError(
        `${path} is being written by process ${status.pid} on ${status.host}; stop it first or choose another directory`,
      );
    }
    const written = await readIfPresent(join(path, CONFIG_FILE));
    if (written !== null && !options.resume) {
      throw new InputError(`${path} already holds a run; resume it or choose another run directory`);
    }
    const checkpoint = await newestCheckpoint(join(path, CHECKPOINTS_DIRECTORY), warn);
    const hash = configHash(options.config, options.volatileKeys);
    if (checkpoint !== null && checkpoint.state.configHash !== hash) {
      const differences = configDifferences(parse(written ?? "{}"), options.config).filter(
        (key) => !isBelow(key, options.volatileKeys),
      );
      throw new InputError(
        `${checkpoint.directory} belongs to another configuration; different: ${differences.join(", ") || "(unknown)"}. Resume with the configuration in ${join(path, CONFIG_FILE)}, or start a run of its own`,
      );
    }
    if (checkpoint !== null && checkpoint.state.step > options.steps) {
      const { step } = checkpoint.state;
      throw new InputError(
        `${checkpoint.directory} is ${step} steps into the run, which now has only ${options.steps}; set steps to at least ${step}`,
      );
    }
    await rewind(path, checkpoint);
    await ensureDirectory(join(path, ROLLOUTS_DIRECTORY));
    await writeFileAtomic(join(path, CONFIG_FILE), stringify(options.config));
    const writer = new StatusWriter(path, options.task, checkpoint?.state.step ?? 0, options.steps);
    await writer.start();
    return new RunDirectory(path, checkpoint, writer, hash);
  }

  /** Writes an event; the sink of the run directory. */
  async record(event: RunEvent): Promise<void> {
    if (event.type === "phase") {
      this.#status.setPhase(event.phase);
      return;
    }
    const stamp = { schemaVersion: SCHEMA_VERSION, step: event.step, time: new Date().toISOString() };
    switch (event.type) {
      case "step-finished":
        if (event.groups.length > 0) {
          const lines = event.groups.map((group) => jsonLine(rolloutRecord(group, event.step)));
          const path = join(this.path, ROLLOUTS_DIRECTORY, rolloutsName(event.step));
          await writeFileAtomic(path, lines.join(""), { sync: false });
          this.#unsynced.push(path);
        }
        await appendJsonLine(join(this.path, METRICS_FILE), { ...stamp, ...event.metrics });
        await this.#status.update({ step: event.step });
        return;
      case "evaluation":
        await appendJsonLine(join(this.path, EVALUATIONS_FILE), { ...stamp, ...event.result });
        break;
      case "run-finished":
        await this.#status.update({ state: "finished", step: event.step, phase: null });
        break;
      case "run-interrupted":
        await this.#status.update({ state: "interrupted", step: event.step, phase: null });
        break;
      case "run-failed":
        await this.#status.update({ state: "failed", step: event.step, phase: null, error: event.message });
        break;
      case "run-started":
      case "checkpoint":
      case "warning":
        break;
      default:
        throw new RangeError(`Unknown event ${String((event satisfies never as RunEvent).type)}`);
    }
    const { type, ...rest } = event.type === "evaluation" ? { type: event.type } : event;
    await appendJsonLine(join(this.path, EVENTS_FILE), { ...stamp, type, ...rest });
  }

  /** Writes a checkpoint and deletes old ones. Returns its directory. */
  async saveCheckpoint(
    progress: Omit<CheckpointState, "schemaVersion" | "cursors" | "configHash">,
    savePolicy: (directory: string) => Promise<void>,
    keep: number,
  ): Promise<string> {
    const cursors: Record<string, number> = {};
    for (const name of REWOUND) {
      cursors[name] = await fileSize(join(this.path, name));
      if (cursors[name] > 0) this.#unsynced.push(join(this.path, name));
    }
    // The checkpoint must not outlive the records it counts on.
    for (const path of this.#unsynced.splice(0)) await syncPath(path);
    await syncPath(join(this.path, ROLLOUTS_DIRECTORY));
    await syncPath(this.path);
    const parent = join(this.path, CHECKPOINTS_DIRECTORY);
    const state = { schemaVersion: SCHEMA_VERSION, ...progress, configHash: this.#configHash, cursors };
    const directory = await writeCheckpoint(parent, state, savePolicy);
    await pruneCheckpoints(parent, keep);
    return directory;
  }

  /** The exported model: written beside its place and renamed, so that it is whole if it is there. */
  async exportModel(write: (directory: string) => Promise<void>): Promise<string> {
    const final = join(this.path, MODEL_DIRECTORY);
    const temporary = `${final}.tmp`;
    await rm(temporary, { recursive: true, force: true });
    await ensureDirectory(temporary);
    await write(temporary);
    await rm(final, { recursive: true, force: true });
    await rename(temporary, final);
    await syncPath(this.path);
    return final;
  }

  /** Ends the heartbeat. */
  async close(): Promise<void> {
    await this.#status.stop();
  }
}

export function rolloutsName(step: number): string {
  return `step-${String(step).padStart(6, "0")}.jsonl`;
}

/** The step of a rollouts file, null for any other name. */
export function rolloutsStep(name: string): number | null {
  const match = /^step-(\d+)\.jsonl$/.exec(name);
  return match === null ? null : Number(match[1]);
}

/** A file that a crash left before it was renamed. */
function isUnfinished(name: string): boolean {
  return /^step-\d+\.jsonl\.\d+\.tmp$/.test(name);
}

async function rewind(path: string, checkpoint: Checkpoint | null): Promise<void> {
  for (const name of REWOUND) await rewindFile(join(path, name), checkpoint?.state.cursors[name] ?? 0);
  await dropTornLine(join(path, EVENTS_FILE));
  const rollouts = join(path, ROLLOUTS_DIRECTORY);
  await ensureDirectory(rollouts);
  for (const name of await readdir(rollouts)) {
    const step = rolloutsStep(name);
    const isLater = step !== null && step > (checkpoint?.state.step ?? 0);
    if (isLater || isUnfinished(name)) await rm(join(rollouts, name));
  }
}
