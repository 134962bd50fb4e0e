/** metrics.jsonl in memory, one number a metric and step, kept up to date by reading what was appended. */
import { stat } from "node:fs/promises";
import type { MetricsRecord } from "../../run/records.js";
import { readBytes, readLines } from "./lines.js";

/** Keys of a line that are no metric. */
const STAMP = new Set(["schemaVersion", "step", "time"]);

/** Tokens generated and trained over the seconds of the step; not in the file. */
export const TOKENS_PER_SECOND = "tokens_per_second";

/** Numbers that grow at the end; NaN where nothing was written. */
class Column {
  #values = new Float64Array(1024).fill(Number.NaN);

  set(row: number, value: number): void {
    if (row >= this.#values.length) {
      const grown = new Float64Array(Math.max(row + 1, 2 * this.#values.length)).fill(Number.NaN);
      grown.set(this.#values);
      this.#values = grown;
    }
    this.#values[row] = value;
  }

  at(row: number): number {
    return this.#values[row] ?? Number.NaN;
  }
}

export class MetricsIndex {
  readonly #path: string;
  #steps = new Column();
  #columns = new Map<string, Column>();
  #rows = 0;
  /** Bytes read. */
  #end = 0;
  /** The line before `#end`: if it is no longer there, a resumed run has cut the file back. */
  #lastLine = Buffer.alloc(0);
  #refreshing: Promise<void> | null = null;

  constructor(path: string) {
    this.#path = path;
  }

  /** Reads what was appended since the last call, everything if the file was cut back. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#read().finally(() => {
      this.#refreshing = null;
    });
    return this.#refreshing;
  }

  get rows(): number {
    return this.#rows;
  }

  get metrics(): string[] {
    return [...this.#columns.keys()];
  }

  step(row: number): number {
    return this.#steps.at(row);
  }

  /** NaN where nothing was written or counted. */
  value(metric: string, row: number): number {
    return this.#columns.get(metric)?.at(row) ?? Number.NaN;
  }

  /** The newest value that is a number, null without one. */
  latest(metric: string): number | null {
    for (let row = this.#rows - 1; row >= 0; row--) {
      const value = this.value(metric, row);
      if (!Number.isNaN(value)) return value;
    }
    return null;
  }

  /** Mean over rows [from, to) of what is a number; NaN if nothing is. */
  mean(metric: string, from: number, to: number): number {
    let sum = 0;
    let count = 0;
    for (let row = Math.max(0, from); row < Math.min(to, this.#rows); row++) {
      const value = this.value(metric, row);
      if (Number.isNaN(value)) continue;
      sum += value;
      count++;
    }
    return sum / count;
  }

  /** First row whose step is at least `step`. */
  rowOf(step: number): number {
    let low = 0;
    let high = this.#rows;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.step(middle) < step) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  async #read(): Promise<void> {
    const size = await stat(this.#path).then(
      (found) => found.size,
      (error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT") return 0;
        throw error;
      },
    );
    if (size === this.#end && size === 0) return;
    if (size < this.#end || !(await this.#stillThere())) this.#clear();
    if (size === this.#end) return;
    for await (const { offset, bytes } of readLines(this.#path, this.#end)) {
      if (bytes.length > 0) this.#add(bytes, offset);
      this.#end = offset + bytes.length + 1;
      this.#lastLine = Buffer.from(bytes);
    }
  }

  #clear(): void {
    this.#steps = new Column();
    this.#columns = new Map();
    this.#rows = 0;
    this.#end = 0;
    this.#lastLine = Buffer.alloc(0);
  }

  async #stillThere(): Promise<boolean> {
    if (this.#end === 0) return true;
    const length = this.#lastLine.length;
    return (await readBytes(this.#path, this.#end - 1 - length, length)).equals(this.#lastLine);
  }

  #add(line: Buffer, offset: number): void {
    let record: MetricsRecord;
    try {
      record = JSON.parse(line.toString("utf8")) as MetricsRecord;
    } catch (error) {
      throw new Error(`${this.#path}: byte ${offset}: not a line of JSON: ${(error as Error).message}`);
    }
    const row = this.#rows++;
    this.#steps.set(row, record.step);
    for (const [key, value] of Object.entries(record)) {
      if (!STAMP.has(key) && (typeof value === "number" || value === null)) this.#set(key, row, value ?? Number.NaN);
    }
    const tokens =
      this.value("tokens/trained", row) +
      (record["tokens/generated"] === undefined ? 0 : this.value("tokens/generated", row));
    const perSecond = tokens / this.value("seconds/step", row);
    if (!Number.isNaN(perSecond)) this.#set(TOKENS_PER_SECOND, row, perSecond);
  }

  #set(metric: string, row: number, value: number): void {
    let column = this.#columns.get(metric);
    if (column === undefined) {
      column = new Column();
      this.#columns.set(metric, column);
    }
    column.set(row, value);
  }
}
