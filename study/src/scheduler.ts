/** Runs cells in processes of their own, a few at a time; a seed's warm-up comes before the first cell that needs it. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { type Cell, cellName, type LeftOutSeed, leftOutFile, readLeftOut, readResult } from "./cell.js";
import type { Family } from "./family.js";
import { writeJson } from "./json-file.js";
import { readGround } from "./seed-ground.js";

const WORKER = fileURLToPath(new URL("worker.js", import.meta.url));

export interface ScheduleOptions {
  /** Where seeds and run directories are. */
  readonly root: string;
  /** Where results are. */
  readonly results: string;
  /** Processes at a time. */
  readonly jobs: number;
  readonly say: (message: string) => void;
  readonly signal: AbortSignal;
}

export interface ScheduleOutcome {
  readonly done: number;
  readonly skipped: number;
  /** What went wrong, by cell. */
  readonly failed: ReadonlyMap<string, string>;
}

interface Job {
  readonly label: string;
  readonly arguments: readonly string[];
}

/** Runs what has no result yet, in order. A cell that fails does not stop the others. */
export async function runSchedule(cells: readonly Cell[], options: ScheduleOptions): Promise<ScheduleOutcome> {
  const { root, results, jobs, say, signal } = options;
  const missing: Cell[] = [];
  let leftOut = 0;
  for (const cell of cells) {
    if ((await readLeftOut(results, cell.family, cell.seed)) !== null) leftOut++;
    else if ((await readResult(results, cell)) === null) missing.push(cell);
  }
  const skipped = cells.length - leftOut - missing.length;
  say(
    `${cells.length} cells: ${skipped} have a result, ${leftOut} are of seeds that were left out, ${missing.length} to run`,
  );
  /** One promise a seed and family, so that its warm-up is trained once. */
  const grounds = new Map<string, Promise<string | null>>();
  const failed = new Map<string, string>();
  let done = 0;
  const runOne = async (cell: Cell): Promise<void> => {
    const name = cellName(cell);
    const key = `${cell.family.name}/${cell.seed}`;
    if (!grounds.has(key)) grounds.set(key, prepare(cell.family, cell.seed, options));
    const problem =
      (await grounds.get(key)!) ?? (await runJob({ label: name, arguments: ["cell", name, root, results] }, options));
    if (problem === null) done++;
    else failed.set(name, problem);
  };
  const queue = [...missing];
  const lane = async (): Promise<void> => {
    for (let cell = queue.shift(); cell !== undefined && !signal.aborted; cell = queue.shift()) await runOne(cell);
  };
  await Promise.all(Array.from({ length: jobs }, lane));
  return { done, skipped, failed };
}

/** Null if the warm-up is there and has converged, else why not. */
async function prepare(family: Family, seed: number, options: ScheduleOptions): Promise<string | null> {
  const label = `${family.name}/${seed} warm-up`;
  if ((await readGround(options.root, family, seed)) === null) {
    const problem = await runJob({ label, arguments: ["ground", family.name, String(seed), options.root] }, options);
    if (problem !== null) return problem;
  }
  const ground = (await readGround(options.root, family, seed))!;
  if (ground.gate.passed) return null;
  const { hash, steps, gate } = ground;
  const record: LeftOutSeed = { family: family.name, seed, hash, steps, gate };
  await writeJson(leftOutFile(options.results, family, seed), record);
  return `the warm-up has not converged in ${steps} steps (${JSON.stringify(gate.measured)}); the seed is left out`;
}

/** Null if it went well, else the last line that it said. */
function runJob(job: Job, { say, signal }: ScheduleOptions): Promise<string | null> {
  const start = performance.now();
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [WORKER, ...job.arguments], { stdio: ["ignore", "inherit", "pipe"], signal });
    let errors = "";
    child.stderr.on("data", (chunk: Buffer) => {
      errors += chunk.toString();
    });
    child.on("error", (error) => resolve(error.message));
    child.on("close", (code) => {
      const seconds = ((performance.now() - start) / 1000).toFixed(0);
      if (code === 0) say(`${job.label}: done in ${seconds} s`);
      else say(`${job.label}: failed after ${seconds} s\n${errors.trimEnd()}`);
      resolve(code === 0 ? null : (/^\w*Error: .*/m.exec(errors)?.[0] ?? `exit code ${code}`));
    });
  });
}
