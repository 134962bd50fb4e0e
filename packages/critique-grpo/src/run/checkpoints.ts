/** Checkpoints: directories that appear whole or not at all, with a checksum of every file. */

import { readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { InputError } from "../config/errors.js";
import { ensureDirectory, fileChecksum, listFiles, readIfPresent, syncPath, writeFileAtomic } from "./files.js";
import { SCHEMA_VERSION } from "./records.js";

const MANIFEST = "manifest.json";
const STATE = "state.json";
const POLICY = "policy";

/** What a checkpoint holds beside the engine's state. Data order and sampling have no state: they follow from the step. */
export interface CheckpointState {
  readonly schemaVersion: number;
  /** Steps done. */
  readonly step: number;
  /** Optimizer steps taken, skipped ones included: the position in the learning-rate schedule. */
  readonly optimizerSteps: number;
  readonly generatedTokens: number;
  /** Step of the newest evaluation, −1 before the first. */
  readonly evaluatedStep: number;
  /** SHA-256 of what the result depends on in the configuration. */
  readonly configHash: string;
  /** Bytes of the run's files at this point, to rewind to. */
  readonly cursors: Readonly<Record<string, number>>;
}

interface Manifest {
  readonly schemaVersion: number;
  /** SHA-256 by path. */
  readonly files: Readonly<Record<string, string>>;
}

export interface Checkpoint {
  readonly directory: string;
  /** Where the engine's state lies. */
  readonly policyDirectory: string;
  readonly state: CheckpointState;
}

export function checkpointName(step: number): string {
  return `step-${String(step).padStart(6, "0")}`;
}

/**
 * Writes a checkpoint: to a temporary directory, checksummed, synced, renamed. `savePolicy` writes the engine's state
 * into the directory it is given. Returns the directory of the checkpoint.
 */
export async function writeCheckpoint(
  parent: string,
  state: CheckpointState,
  savePolicy: (directory: string) => Promise<void>,
): Promise<string> {
  await ensureDirectory(parent);
  const final = join(parent, checkpointName(state.step));
  const temporary = join(parent, `.${checkpointName(state.step)}.${process.pid}.tmp`);
  await rm(temporary, { recursive: true, force: true });
  await ensureDirectory(join(temporary, POLICY));
  try {
    await savePolicy(join(temporary, POLICY));
    await writeFileAtomic(join(temporary, STATE), `${JSON.stringify(state, null, 2)}\n`);
    const files: Record<string, string> = {};
    for (const path of await listFiles(temporary)) {
      files[path] = await fileChecksum(join(temporary, path));
      await syncPath(join(temporary, path));
    }
    const manifest: Manifest = { schemaVersion: SCHEMA_VERSION, files };
    await writeFileAtomic(join(temporary, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
    await syncPath(join(temporary, POLICY));
    await rm(final, { recursive: true, force: true });
    await rename(temporary, final);
    await syncPath(parent);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
  return final;
}

/** Steps of the checkpoints in a directory, ascending. */
export async function listCheckpoints(parent: string): Promise<number[]> {
  const names = await readdir(parent).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [] as string[];
    throw error;
  });
  return names
    .filter((name) => /^step-\d+$/.test(name))
    .map((name) => Number(name.slice("step-".length)))
    .sort((a, b) => a - b);
}

/** @throws Error that names what is missing or damaged. */
export async function readCheckpoint(directory: string): Promise<Checkpoint> {
  const manifest = await readJson<Manifest>(join(directory, MANIFEST));
  if (manifest.schemaVersion !== SCHEMA_VERSION) {
    throw new Error(`${directory} has schema version ${manifest.schemaVersion}; this program reads ${SCHEMA_VERSION}`);
  }
  for (const [path, checksum] of Object.entries(manifest.files)) {
    const found = await fileChecksum(join(directory, path)).catch(() => "no readable file");
    if (found !== checksum)
      throw new Error(`${join(directory, path)} is damaged: checksum ${found}, written was ${checksum}`);
  }
  const state = await readJson<CheckpointState>(join(directory, STATE));
  return { directory, policyDirectory: join(directory, POLICY), state };
}

/**
 * The newest checkpoint that is whole, null if there is none. Damaged ones are set aside (renamed to `damaged-…`, never
 * deleted) and told to `onDamaged`. @throws Error if there are checkpoints and all are damaged.
 */
export async function newestCheckpoint(
  parent: string,
  onDamaged: (message: string) => void,
): Promise<Checkpoint | null> {
  const steps = await listCheckpoints(parent);
  for (const step of [...steps].reverse()) {
    const directory = join(parent, checkpointName(step));
    try {
      return await readCheckpoint(directory);
    } catch (error) {
      const aside = join(dirname(directory), `damaged-${basename(directory)}-${Date.now()}`);
      await rename(directory, aside);
      onDamaged(`${(error as Error).message}; set aside as ${aside}`);
    }
  }
  if (steps.length > 0)
    throw new InputError(`All ${steps.length} checkpoints in ${parent} are damaged; they are kept as damaged-*`);
  return null;
}

/** Deletes all but the newest `keep` checkpoints, and what unfinished writes left. */
export async function pruneCheckpoints(parent: string, keep: number): Promise<void> {
  const steps = await listCheckpoints(parent);
  for (const step of steps.slice(0, Math.max(0, steps.length - keep))) {
    await rm(join(parent, checkpointName(step)), { recursive: true, force: true });
  }
  for (const name of await readdir(parent)) {
    if (/^\.step-\d+\.\d+\.tmp$/.test(name)) await rm(join(parent, name), { recursive: true, force: true });
  }
}

async function readJson<T>(path: string): Promise<T> {
  const content = await readIfPresent(path);
  if (content === null) throw new Error(`${path} is missing`);
  try {
    return JSON.parse(content) as T;
  } catch (error) {
    throw new Error(`${path} is not JSON: ${(error as Error).message}`);
  }
}
