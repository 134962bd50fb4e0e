import { open, readdir, rename, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { ensureDirectory } from "../../run/files.js";
import { tfRecord } from "./events.js";

type Handle = Awaited<ReturnType<typeof open>>;

/** The event file of a run: one a directory, begun with the run's history. */
export class EventFile {
  readonly path: string;
  readonly #handle: Handle;

  private constructor(path: string, handle: Handle) {
    this.path = path;
    this.#handle = handle;
  }

  /**
   * Writes a file that begins with these events, and takes it into the place of the directory's earlier ones: they said
   * the same, or what has been undone.
   */
  static async begin(directory: string, events: Iterable<Uint8Array>): Promise<EventFile> {
    await ensureDirectory(directory);
    const earlier = (await readdir(directory)).filter((name) => name.includes("tfevents"));
    const path = join(directory, fileName(earlier));
    const temporary = join(directory, `.${process.pid}.tmp`);
    const handle = await open(temporary, "w");
    try {
      // Not event by event: a long history has hundreds of thousands of values.
      let chunk: Buffer[] = [];
      for (const event of events) {
        chunk.push(tfRecord(event));
        if (chunk.length < 256) continue;
        await handle.appendFile(Buffer.concat(chunk));
        chunk = [];
      }
      await handle.appendFile(Buffer.concat(chunk));
      await handle.sync();
      await rename(temporary, path);
    } catch (error) {
      await handle.close();
      await rm(temporary, { force: true });
      throw error;
    }
    for (const name of earlier) await rm(join(directory, name));
    return new EventFile(path, handle);
  }

  async append(event: Uint8Array): Promise<void> {
    await this.#handle.appendFile(tfRecord(event));
  }

  async close(): Promise<void> {
    await this.#handle.sync();
    await this.#handle.close();
  }
}

/** Readers take the files of a directory in the order of their names: a new one must come last. */
function fileName(earlier: readonly string[]): string {
  const seconds = earlier.map((name) => Number(/tfevents\.(\d+)/.exec(name)?.[1] ?? 0));
  const time = Math.max(Math.floor(Date.now() / 1000), ...seconds.map((value) => value + 1));
  return `events.out.tfevents.${String(time).padStart(10, "0")}.${hostname()}.${process.pid}`;
}
