/** From what a user names to run directories. */
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { InputError } from "../config/errors.js";
import { CONFIG_FILE, METRICS_FILE } from "../run/run-directory.js";

/** Folders of runs are searched this deep. */
const MAX_DEPTH = 3;

/** The directory itself if it is a run, else every run below it, sorted. @throws InputError if there is none. */
export async function findRuns(directory: string): Promise<string[]> {
  if (!existsSync(directory)) throw new InputError(`${directory}: no such directory; name a run, e.g. runs/my-run`);
  const found = await search(directory, MAX_DEPTH);
  if (found.length > 0) return found;
  throw new InputError(
    `${directory}: neither a run (there is no ${CONFIG_FILE} with a ${METRICS_FILE}) nor a folder with runs in it`,
  );
}

async function search(directory: string, depth: number): Promise<string[]> {
  if (existsSync(join(directory, CONFIG_FILE)) && existsSync(join(directory, METRICS_FILE))) return [directory];
  if (depth === 0) return [];
  const entries = await readdir(directory, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOTDIR") return [];
    throw error;
  });
  const folders = entries.filter((entry) => entry.isDirectory()).map((entry) => join(directory, entry.name));
  return (await Promise.all(folders.sort().map((folder) => search(folder, depth - 1)))).flat();
}
