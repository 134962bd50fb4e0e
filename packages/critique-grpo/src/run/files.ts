/** Files that survive a crash: atomic replacement, synced directories, append-only JSON lines with a torn last line. */

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { appendFile, mkdir, open, readdir, readFile, rename, rm, stat, truncate, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";

/**
 * Writes to a temporary name and renames: a reader sees the old content or the new one. `sync` (default) makes it last
 * through a power cut; without it the caller syncs later, or can do without the file.
 */
export async function writeFileAtomic(path: string, content: string, { sync = true } = {}): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    await writeFile(temporary, content);
    if (sync) await syncPath(temporary);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  if (sync) await syncPath(dirname(path));
}

/** Forces a file or a directory to disk. */
export async function syncPath(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** One line of JSON; numbers that are not finite become null. */
export function jsonLine(record: unknown): string {
  return `${JSON.stringify(record)}\n`;
}

export async function appendJsonLine(path: string, record: unknown): Promise<void> {
  await appendFile(path, jsonLine(record));
}

/**
 * The records of a JSON-lines file; none if there is no such file. A last line that was torn by a crash is left out;
 * any other line that is not JSON is an error with file and line.
 */
export async function readJsonLines<T>(path: string): Promise<T[]> {
  const content = await readIfPresent(path);
  if (content === null) return [];
  const lines = content.split("\n");
  const records: T[] = [];
  for (const [index, line] of lines.entries()) {
    if (line === "") continue;
    try {
      records.push(JSON.parse(line) as T);
    } catch (error) {
      if (index === lines.length - 1) break;
      throw new Error(`${path}:${index + 1}: not a line of JSON: ${(error as Error).message}`);
    }
  }
  return records;
}

/**
 * The records of a JSON-lines file one after another, without the file ever being whole in memory; as `readJsonLines`
 * otherwise.
 */
export async function* streamJsonLines<T>(path: string): AsyncIterable<T> {
  if ((await fileSize(path)) === 0) return;
  let number = 0;
  let bad: { readonly line: number; readonly message: string } | undefined;
  for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY })) {
    number++;
    if (line === "") continue;
    // Only the last line may be torn.
    if (bad !== undefined) throw new Error(`${path}:${bad.line}: not a line of JSON: ${bad.message}`);
    try {
      yield JSON.parse(line) as T;
    } catch (error) {
      bad = { line: number, message: (error as Error).message };
    }
  }
}

/** Content of a text file, null if it does not exist. */
export async function readIfPresent(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

/** Bytes of a file, 0 if it does not exist. */
export async function fileSize(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return 0;
    throw error;
  }
}

/** Cuts a file back to `bytes`; a file that does not exist counts as empty. @throws Error if it is shorter. */
export async function rewindFile(path: string, bytes: number): Promise<void> {
  const size = await fileSize(path);
  if (size < bytes)
    throw new Error(`${path} has ${size} bytes, the checkpoint was written when it had ${bytes}: records are lost`);
  if (size > bytes) await truncate(path, bytes);
}

/** Cuts a torn last line off, so that the next record starts on a line of its own. */
export async function dropTornLine(path: string): Promise<void> {
  const size = await fileSize(path);
  if (size === 0) return;
  const handle = await open(path, "r");
  const chunk = Buffer.alloc(64 * 1024);
  let keep = 0;
  try {
    // From the end: only the last line matters, and it may be long.
    for (let end = size; end > 0 && keep === 0; end -= chunk.length) {
      const start = Math.max(0, end - chunk.length);
      const { bytesRead } = await handle.read(chunk, 0, end - start, start);
      keep = start + chunk.subarray(0, bytesRead).lastIndexOf(0x0a) + 1;
      if (keep === start) keep = 0;
    }
  } finally {
    await handle.close();
  }
  if (keep < size) await truncate(path, keep);
}

/** Paths of all files below a directory, relative to it, sorted. */
export async function listFiles(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
    .sort();
}

/** SHA-256 of a file, hexadecimal. */
export async function fileChecksum(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

export async function ensureDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true });
}
