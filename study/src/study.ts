#!/usr/bin/env node
/** The study from the command line: `npm run study`. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { InputError } from "critique-grpo";
import { type Cell, type CellResult, cellName, parseCellName, readResult } from "./cell.js";
import { type Options, parseOptions, USAGE } from "./options.js";
import { quickCells, studyCells } from "./plan.js";
import { writeReport } from "./report/write-report.js";
import { runSchedule, type ScheduleOptions } from "./scheduler.js";

const STUDY = fileURLToPath(new URL("..", import.meta.url));
const REPOSITORY = resolve(STUDY, "..");
/** Committed: the report is made of these. */
const RESULTS = join(STUDY, "results");
/** Models and run directories; not committed. */
const ROOT = join(REPOSITORY, "runs", "study");
const INTERRUPTED_EXIT_CODE = 130;

function say(message: string): void {
  console.log(`[${new Date().toTimeString().slice(0, 8)}] ${message}`);
}

async function run(options: Options, signal: AbortSignal): Promise<number> {
  const schedule = { root: ROOT, jobs: options.jobs, say, signal };
  switch (options.action) {
    case "run": {
      const cells = options.cells.length > 0 ? options.cells.map(parseCellName) : studyCells();
      const code = await runCells(cells, { ...schedule, results: RESULTS });
      await report();
      return code;
    }
    case "quick":
      return runCells(quickCells(), { ...schedule, results: join(ROOT, "quick-results") });
    case "verify":
      return verify(parseCellName(options.verify!), schedule);
    case "report":
      await report();
      return 0;
    default:
      throw new RangeError(`Unknown action ${String(options.action satisfies never)}`);
  }
}

async function report(): Promise<void> {
  for (const file of await writeReport(RESULTS, join(REPOSITORY, "docs"))) say(relative(process.cwd(), file));
}

async function runCells(cells: readonly Cell[], options: ScheduleOptions): Promise<number> {
  const { done, skipped, failed } = await runSchedule(cells, options);
  say(`${done} cells run, ${skipped} had a result, ${failed.size} failed`);
  for (const [name, problem] of failed) say(`${name}: ${problem}`);
  if (options.signal.aborted) return INTERRUPTED_EXIT_CODE;
  return failed.size === 0 ? 0 : 1;
}

/**
 * Runs a cell again, its warm-up included, and compares weights and numbers bit for bit. A result that was made by another
 * version of the engine, which may add in another order, has other bits: then a third run tells whether runs repeat.
 */
async function verify(cell: Cell, options: Omit<ScheduleOptions, "results">): Promise<number> {
  const name = cellName(cell);
  const known = await readResult(RESULTS, cell);
  if (known === null) throw new InputError(`${name} has no result yet; run it first: npm run study -- --cell ${name}`);
  const again = await runAgain(cell, options);
  const greedy = ({ after }: CellResult) => `${(100 * after.heldOut.greedy).toFixed(1)} %`;
  const both = (a: CellResult, b: CellResult) =>
    `weights ${a.weights.slice(0, 16)} and ${b.weights.slice(0, 16)}, held-out ${greedy(a)} and ${greedy(b)}`;
  if (bitsOf(known) === bitsOf(again)) {
    say(`${name}: the same bit for bit as the result: ${both(known, again)}`);
    return 0;
  }
  say(`${name}: not the bits of the result, which another version may have made: ${both(known, again)}; once more`);
  const third = await runAgain(cell, options);
  const same = bitsOf(again) === bitsOf(third);
  say(`${name}: two runs of this version are ${same ? "the same bit for bit" : "DIFFERENT"}: ${both(again, third)}`);
  return same ? 0 : 1;
}

/** A run whose result is not kept. */
async function runAgain(cell: Cell, options: Omit<ScheduleOptions, "results">): Promise<CellResult> {
  const directory = await mkdtemp(join(tmpdir(), "study-verify-"));
  try {
    const again = { ...options, root: join(directory, "runs"), results: join(directory, "results") };
    const { failed } = await runSchedule([cell], again);
    if (failed.size > 0) throw new Error(`${cellName(cell)}: ${failed.get(cellName(cell))}`);
    return (await readResult(again.results, cell))!;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** All but how long it took. */
function bitsOf({ training: { cpuSeconds: _cpu, wallSeconds: _wall, ...training }, ...result }: CellResult): string {
  return JSON.stringify({ ...result, training });
}

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2));
  if (options === null) {
    process.stdout.write(USAGE);
    return 0;
  }
  const abort = new AbortController();
  process.once("SIGINT", () => {
    say(`stopping; finished cells stay in ${relative(process.cwd(), RESULTS) || RESULTS}`);
    abort.abort();
  });
  return run(options, abort.signal);
}

try {
  process.exitCode = await main();
} catch (error) {
  const expected = error instanceof InputError || error instanceof RangeError;
  process.stderr.write(`${error instanceof Error && !expected ? error.stack : (error as Error).message}\n`);
  process.exitCode = 1;
}
