/** Rows of JSONL and parquet files, each with the place it comes from. */
import { readFile } from "node:fs/promises";
import { asyncBufferFromFile, parquetReadObjects } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { InputError } from "../config/errors.js";

export type Row = Readonly<Record<string, unknown>>;

export interface LocatedRow {
  readonly row: Row;
  /** Position among the rows of its file, from 0. */
  readonly index: number;
  /** `file:line` for JSONL, `file: row n` (from 1) for parquet. */
  readonly location: string;
}

/** All rows of a `.jsonl` or `.parquet` file. Throws InputError that names file and line. */
export async function readRows(file: string): Promise<LocatedRow[]> {
  if (/\.(jsonl|ndjson)$/i.test(file)) return readJsonl(file);
  if (/\.parquet$/i.test(file)) return readParquet(file);
  throw new InputError(`${file}: unknown kind of file; data is read from .jsonl and .parquet`);
}

async function readJsonl(file: string): Promise<LocatedRow[]> {
  const text = await readFile(file, "utf8").catch((error: Error) => {
    throw new InputError(`${file}: cannot be read: ${error.message}`, { cause: error });
  });
  const rows: LocatedRow[] = [];
  for (const [number, line] of text
    .replace(/^\uFEFF/, "")
    .split("\n")
    .entries()) {
    if (line.trim() === "") continue;
    const location = `${file}:${number + 1}`;
    let row: unknown;
    try {
      row = JSON.parse(line);
    } catch (error) {
      throw new InputError(`${location}: not valid JSON: ${(error as Error).message}`, { cause: error });
    }
    if (typeof row !== "object" || row === null || Array.isArray(row)) {
      throw new InputError(`${location}: must be a JSON object, one a line`);
    }
    rows.push({ row: row as Row, index: rows.length, location });
  }
  return rows;
}

async function readParquet(file: string): Promise<LocatedRow[]> {
  let rows: Record<string, unknown>[];
  try {
    rows = await parquetReadObjects({ file: await asyncBufferFromFile(file), compressors });
  } catch (error) {
    throw new InputError(`${file}: cannot be read as parquet: ${(error as Error).message}`, { cause: error });
  }
  return rows.map((row, index) => ({ row: plain(row) as Row, index, location: `${file}: row ${index + 1}` }));
}

/** Parquet's 64-bit integers as numbers where they fit, else as text: everything here must survive JSON. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value.toString();
  }
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Date) return value.toISOString();
  if (ArrayBuffer.isView(value)) return Array.from(value as unknown as ArrayLike<number | bigint>, plain);
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
  }
  return value;
}
