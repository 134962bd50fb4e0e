/** The runs below a directory, and what is known of each while the dashboard is open. */
import { readdir, stat } from "node:fs/promises";
import { basename, join, relative, resolve, sep } from "node:path";
import { HttpError } from "../../http/errors.js";
import { CONFIG_FILE, METRICS_FILE } from "../../run/run-directory.js";
import { STATUS_FILE } from "../../run/status.js";
import { LruMap } from "./lru.js";
import { MetricsIndex } from "./metrics-index.js";
import { RolloutIndex } from "./rollout-index.js";
import { TokenReader } from "./token-reader.js";

const MAX_DEPTH = 5;
const MAX_RUNS = 500;
/** Listing a tree of directories at every request would be felt. */
const RELIST_MS = 2_000;
const KEPT_METRICS = 64;
const KEPT_ROLLOUTS = 6;
const KEPT_TOKENIZERS = 3;

export interface RunPlace {
  readonly id: string;
  readonly directory: string;
}

interface Listing {
  readonly runs: ReadonlyMap<string, RunPlace>;
  readonly truncated: boolean;
  readonly listedAtMs: number;
}

export class Runs {
  readonly root: string;
  #listing: Promise<Listing> | null = null;
  #listed: Listing | null = null;
  readonly #metrics = new LruMap<string, MetricsIndex>(KEPT_METRICS);
  readonly #rollouts = new LruMap<string, RolloutIndex>(KEPT_ROLLOUTS, (index) => index.close());
  readonly #tokenizers = new LruMap<string, TokenReader>(KEPT_TOKENIZERS);

  constructor(root: string) {
    this.root = resolve(root);
  }

  async list(): Promise<Listing> {
    if (this.#listed !== null && performance.now() - this.#listed.listedAtMs < RELIST_MS) return this.#listed;
    this.#listing ??= findRuns(this.root).finally(() => {
      this.#listing = null;
    });
    this.#listed = await this.#listing;
    return this.#listed;
  }

  /** Only runs that were found have a place: an id never becomes a path. @throws HttpError 404 */
  async place(id: string): Promise<RunPlace> {
    const place = (await this.list()).runs.get(id);
    if (place === undefined) throw new HttpError(404, `There is no run ${JSON.stringify(id)} below ${this.root}`);
    return place;
  }

  /** Up to date. */
  async metrics({ directory }: RunPlace): Promise<MetricsIndex> {
    let index = this.#metrics.get(directory);
    if (index === undefined) {
      index = new MetricsIndex(join(directory, METRICS_FILE));
      this.#metrics.set(directory, index);
    }
    await index.refresh();
    return index;
  }

  rollouts({ directory }: RunPlace): RolloutIndex {
    let index = this.#rollouts.get(directory);
    if (index === undefined) {
      index = new RolloutIndex(directory);
      this.#rollouts.set(directory, index);
    }
    return index;
  }

  tokens({ directory }: RunPlace): TokenReader {
    let reader = this.#tokenizers.get(directory);
    if (reader === undefined) {
      reader = new TokenReader(directory);
      this.#tokenizers.set(directory, reader);
    }
    return reader;
  }

  async close(): Promise<void> {
    for (const { directory } of (await this.list()).runs.values()) this.#rollouts.delete(directory);
  }
}

async function findRuns(root: string): Promise<Listing> {
  const found: (RunPlace & { readonly modifiedMs: number })[] = [];
  let truncated = false;
  const visit = async (directory: string, depth: number): Promise<void> => {
    const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
    const files = new Set(entries.filter((entry) => entry.isFile()).map((entry) => entry.name));
    if (files.has(CONFIG_FILE) && (files.has(STATUS_FILE) || files.has(METRICS_FILE))) {
      if (found.length === MAX_RUNS) {
        truncated = true;
        return;
      }
      const id = directory === root ? basename(root) : relative(root, directory).split(sep).join("/");
      const { mtimeMs } = await stat(join(directory, CONFIG_FILE));
      found.push({ id, directory, modifiedMs: mtimeMs });
      return;
    }
    if (depth === MAX_DEPTH) return;
    // A link could lead out of the root: directories only.
    const folders = entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith("."));
    for (const { name } of folders) if (name !== "node_modules") await visit(join(directory, name), depth + 1);
  };
  await visit(root, 0);
  found.sort((a, b) => b.modifiedMs - a.modifiedMs);
  const runs = new Map(found.map(({ id, directory }) => [id, { id, directory }]));
  return { runs, truncated, listedAtMs: performance.now() };
}
