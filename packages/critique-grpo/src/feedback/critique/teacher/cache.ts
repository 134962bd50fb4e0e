/** Answers of a teacher, on disk, by what was asked: a run that is resumed or repeated pays for nothing twice. */
import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { z } from "zod";
import { ensureDirectory, readIfPresent, writeFileAtomic } from "../../../run/files.js";

const SCHEMA_VERSION = 1;

const entrySchema = z.object({
  schemaVersion: z.literal(SCHEMA_VERSION),
  text: z.string(),
  stopReason: z.enum(["stop", "length"]),
});

export type CachedAnswer = Omit<z.output<typeof entrySchema>, "schemaVersion">;

/** The name of an answer: everything that it depends on. */
export function cacheKey(...parts: readonly unknown[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex");
}

/** One file an answer, written whole, so several runs may share a directory. */
export class AnswerCache {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** null if there is none, or it is damaged. */
  async read(key: string): Promise<CachedAnswer | null> {
    const content = await readIfPresent(this.#path(key));
    if (content === null) return null;
    try {
      return entrySchema.parse(JSON.parse(content));
    } catch {
      // Asked for again, and replaced.
      return null;
    }
  }

  /** Not synced: what a power cut takes is asked for again. */
  async write(key: string, { text, stopReason }: CachedAnswer): Promise<void> {
    const path = this.#path(key);
    await ensureDirectory(dirname(path));
    await writeFileAtomic(path, `${JSON.stringify({ schemaVersion: SCHEMA_VERSION, text, stopReason })}\n`, {
      sync: false,
    });
  }

  #path(key: string): string {
    return join(this.#directory, key.slice(0, 2), `${key}.json`);
  }
}
