/**
 * Where each group of a run stands and what happened in it. The files are read once, in the background, and as they are
 * added; of every record some numbers stay in memory.
 */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { GROUP_FLAGS, type GroupFlag, type IndexProgress } from "@critique-grpo/dashboard";
import { listRolloutSteps } from "../../run/readers.js";
import type { RolloutRecord } from "../../run/records.js";
import { ROLLOUTS_DIRECTORY, rolloutsName } from "../../run/run-directory.js";
import { CriticTally } from "./critic-tally.js";
import { flagBit, type GroupFacts, groupFacts } from "./group-facts.js";
import { GroupTable } from "./group-table.js";
import { readBytes, readLines } from "./lines.js";
import { LruMap } from "./lru.js";
import { ProblemTally } from "./problem-tally.js";
import { parseWithoutTokens } from "./token-free.js";

/** Requests are answered between two slices of indexing. */
const SLICE_MS = 20;
/** Steps whose groups are kept although the background has not reached them. */
const RECENT_STEPS = 8;

/** What tells that a file is no longer the one that was indexed: a resumed run writes its steps anew. */
interface FileStamp {
  readonly size: number;
  readonly modifiedMs: number;
}

interface IndexedStep {
  readonly step: number;
  readonly stamp: FileStamp;
  readonly firstRow: number;
  readonly rows: number;
}

/** What is known after indexing; thrown away as a whole when a run was cut back. */
class Contents {
  readonly table = new GroupTable();
  readonly problems = new ProblemTally();
  readonly critics = new CriticTally();
  readonly steps = new Map<number, IndexedStep>();
  readonly counts = new Uint32Array(GROUP_FLAGS.length);

  add(facts: GroupFacts, record: RolloutRecord): void {
    this.table.add(facts);
    this.problems.add(facts, record);
    this.critics.add(record);
    for (let bit = 0; bit < this.counts.length; bit++) if (facts.flagBits & (1 << bit)) this.counts[bit]!++;
  }
}

export class RolloutIndex {
  readonly #directory: string;
  #contents = new Contents();
  #steps: readonly number[] = [];
  #listedAt = "";
  #indexing: Promise<void> | null = null;
  #failure: Error | null = null;
  #closed = false;
  /** Lines that are not JSON. */
  readonly #damaged = new Set<string>();
  readonly #recent = new LruMap<string, readonly GroupFacts[]>(RECENT_STEPS);

  constructor(runDirectory: string) {
    this.#directory = runDirectory;
  }

  /** Steps that have rollouts, ascending. */
  async steps(): Promise<readonly number[]> {
    const directory = join(this.#directory, ROLLOUTS_DIRECTORY);
    const found = await stat(directory).catch(() => null);
    const listedAt = found === null ? "" : `${found.mtimeMs}`;
    // A directory changes when a file is added or removed; a listing of ten thousand names is not free.
    if (listedAt !== this.#listedAt || listedAt === "") {
      this.#steps = await listRolloutSteps(this.#directory);
      this.#listedAt = listedAt;
      // A run that was cut back has lost files that are indexed.
      const present = new Set(this.#steps);
      if ([...this.#contents.steps.keys()].some((step) => !present.has(step))) this.#contents = new Contents();
    }
    return this.#steps;
  }

  /** Starts indexing what is new, or goes on; does not wait for it. @throws Error if indexing has failed. */
  async touch(): Promise<Contents> {
    const steps = await this.steps();
    const newest = steps.at(-1);
    if (newest !== undefined && !(await this.#isCurrent(newest))) this.#contents = new Contents();
    if (this.#failure !== null) {
      const failure = this.#failure;
      // The next request tries again: the file may have been mended.
      this.#failure = null;
      throw failure;
    }
    if (!this.#closed && this.#contents.steps.size < steps.length) {
      this.#indexing ??= this.#run()
        .catch((error: Error) => {
          this.#failure = error;
        })
        .finally(() => {
          this.#indexing = null;
        });
    }
    return this.#contents;
  }

  progress(): IndexProgress {
    const indexedSteps = this.#contents.steps.size;
    const totalSteps = this.#steps.length;
    return { indexedSteps, totalSteps, done: indexedSteps >= totalSteps, damagedLines: this.#damaged.size };
  }

  /** The groups of a step, indexed or not; null if there is no such step. */
  async groupsOf(step: number): Promise<readonly GroupFacts[] | null> {
    if (!(await this.steps()).includes(step)) return null;
    const indexed = this.#contents.steps.get(step);
    const stamp = await this.#stamp(step);
    if (indexed !== undefined && sameStamp(indexed.stamp, stamp)) {
      const { table } = this.#contents;
      return Array.from({ length: indexed.rows }, (_, i) => table.at(indexed.firstRow + i));
    }
    const key = `${step} ${stamp.size} ${stamp.modifiedMs}`;
    let groups = this.#recent.get(key);
    if (groups === undefined) {
      const found: GroupFacts[] = [];
      for await (const { facts } of this.#read(step)) found.push(facts);
      groups = found;
      this.#recent.set(key, groups);
    }
    return groups;
  }

  /** A whole record, tokens included. @throws Error if the file has changed under the index. */
  async record(facts: GroupFacts): Promise<RolloutRecord> {
    return JSON.parse((await this.#line(facts)).toString("utf8")) as RolloutRecord;
  }

  /** A record without its token arrays. */
  async recordWithoutTokens(facts: GroupFacts): Promise<RolloutRecord> {
    return parseWithoutTokens(await this.#line(facts));
  }

  /** Stops indexing. */
  close(): void {
    this.#closed = true;
  }

  async #run(): Promise<void> {
    const contents = this.#contents;
    let sliceEnds = performance.now() + SLICE_MS;
    for (const step of this.#steps) {
      if (contents.steps.has(step)) continue;
      const stamp = await this.#stamp(step);
      const firstRow = contents.table.rows;
      for await (const { facts, record } of this.#read(step)) {
        if (this.#closed || contents !== this.#contents) return;
        contents.add(facts, record);
        if (performance.now() < sliceEnds) continue;
        await new Promise((resolve) => setImmediate(resolve));
        sliceEnds = performance.now() + SLICE_MS;
      }
      contents.steps.set(step, { step, stamp, firstRow, rows: contents.table.rows - firstRow });
    }
  }

  async *#read(step: number): AsyncGenerator<{ readonly facts: GroupFacts; readonly record: RolloutRecord }> {
    let line = 0;
    for await (const { offset, bytes } of readLines(this.#path(step))) {
      if (bytes.length === 0) continue;
      // A damaged line must not hide the others.
      const record = tryParse(bytes);
      if (record === null) this.#damaged.add(`${step}:${line}`);
      else yield { facts: groupFacts(record, { step, line, offset, bytes: bytes.length }), record };
      line++;
    }
  }

  async #line({ step, offset, bytes }: GroupFacts): Promise<Buffer> {
    return readBytes(this.#path(step), offset, bytes);
  }

  async #isCurrent(step: number): Promise<boolean> {
    const indexed = this.#contents.steps.get(step);
    return indexed === undefined || sameStamp(indexed.stamp, await this.#stamp(step));
  }

  async #stamp(step: number): Promise<FileStamp> {
    const { size, mtimeMs } = await stat(this.#path(step));
    return { size, modifiedMs: mtimeMs };
  }

  #path(step: number): string {
    return join(this.#directory, ROLLOUTS_DIRECTORY, rolloutsName(step));
  }
}

export function countsByFlag(count: (bit: number) => number): Record<GroupFlag, number> {
  return Object.fromEntries(GROUP_FLAGS.map((flag) => [flag, count(flagBit(flag))])) as Record<GroupFlag, number>;
}

function tryParse(line: Buffer): RolloutRecord | null {
  try {
    return parseWithoutTokens(line);
  } catch {
    return null;
  }
}

function sameStamp(a: FileStamp, b: FileStamp): boolean {
  return a.size === b.size && a.modifiedMs === b.modifiedMs;
}
