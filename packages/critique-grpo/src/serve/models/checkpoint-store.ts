/** Saved weights on disk: <directory>/<run>/<kind>/<name>/ with a model or an adapter, and for training the exact state. */
import { copyFile, mkdir, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { LanguageModel } from "@critique-grpo/engine";
import { type CheckpointPath, formatCheckpointPath, parseCheckpointPath } from "@critique-grpo/tinker";
import { BadRequest, HttpError } from "../../http/errors.js";
import { writeFileAtomic } from "../../run/files.js";
import type { AdapterShape } from "./adapter-shape.js";

/** What is kept beside the weights. */
export interface CheckpointRecord {
  readonly runId: string;
  readonly kind: CheckpointPath["kind"];
  readonly name: string;
  readonly baseModel: string;
  readonly savedAt: string;
  readonly bytes: number;
  /** Names the weights: equal for equal weights. */
  readonly weights: string;
  /** Of adapters; absent for whole models. */
  readonly lora?: AdapterShape;
  readonly userMetadata: Readonly<Record<string, unknown>>;
  /** Of a sampler without a name: not listed, and gone with the server. */
  readonly ephemeral?: boolean;
}

const RECORD = "checkpoint.json";
/** Of the base model; copied so that a saved model is complete. */
const TOKENIZER_FILES = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "chat_template.jinja",
  "vocab.json",
  "merges.txt",
];

export class CheckpointStore {
  readonly #records = new Map<string, CheckpointRecord>();
  /** Names being written. */
  readonly #writing = new Set<string>();

  private constructor(
    readonly directory: string,
    private readonly tokenizerDirectory: string | undefined,
  ) {}

  /** Reads what earlier servers left in the directory. */
  static async open(directory: string, tokenizerDirectory: string | undefined): Promise<CheckpointStore> {
    await mkdir(directory, { recursive: true });
    const store = new CheckpointStore(directory, tokenizerDirectory);
    for (const name of await readdir(directory, { recursive: true })) {
      // A save that a crash interrupted is none.
      if (!name.endsWith(RECORD) || name.includes(".tmp")) continue;
      const record = JSON.parse(await readFile(join(directory, name), "utf8")) as CheckpointRecord;
      store.#records.set(formatCheckpointPath(record), record);
      if (record.ephemeral) await store.delete(record);
    }
    return store;
  }

  /**
   * @param state also the optimizer's state, for training to go on from
   * Throws HttpError 409 if there is one of that name (unless `overwrite`), BadRequest for a name that is none.
   */
  async save(
    model: LanguageModel,
    checkpoint: Omit<CheckpointRecord, "savedAt" | "bytes">,
    options: { readonly state: boolean; readonly overwrite: boolean },
  ): Promise<CheckpointRecord> {
    const path = formatCheckpointPath(checkpoint);
    this.checkNew(checkpoint, options.overwrite);
    this.#writing.add(path);
    const directory = this.folder(checkpoint);
    const temporary = `${directory}.tmp`;
    try {
      await rm(temporary, { recursive: true, force: true });
      await this.writeWeights(model, join(temporary, weightsFolder(checkpoint)), checkpoint.lora !== undefined);
      if (options.state) await model.saveState(join(temporary, "state"));
      const bytes = await folderBytes(temporary);
      const record = { ...checkpoint, savedAt: new Date().toISOString(), bytes };
      await writeFileAtomic(join(temporary, RECORD), `${JSON.stringify(record)}\n`);
      await rm(directory, { recursive: true, force: true });
      await rename(temporary, directory);
      this.#records.set(path, record);
      return record;
    } finally {
      this.#writing.delete(path);
      await rm(temporary, { recursive: true, force: true });
    }
  }

  private async writeWeights(model: LanguageModel, directory: string, adapter: boolean): Promise<void> {
    await mkdir(directory, { recursive: true });
    if (adapter) return model.exportAdapter(directory);
    await model.exportModel(directory, { dtype: "float32" });
    for (const name of this.tokenizerDirectory === undefined ? [] : TOKENIZER_FILES)
      await copyFile(join(this.tokenizerDirectory!, name), join(directory, name)).catch(ignoreMissing);
  }

  /** Throws what `save` would throw about the name. */
  checkNew(checkpoint: CheckpointPath, overwrite: boolean): void {
    this.folder(checkpoint);
    const path = formatCheckpointPath(checkpoint);
    if (this.#writing.has(path) || (this.#records.has(path) && !overwrite))
      throw new HttpError(409, `Checkpoint already exists: ${path}`);
  }

  /** Throws BadRequest for what is no path, HttpError 404 or 425. */
  get(path: string): CheckpointRecord {
    let parsed: CheckpointPath;
    try {
      parsed = parseCheckpointPath(path);
    } catch (error) {
      throw new BadRequest((error as Error).message);
    }
    this.folder(parsed);
    const canonical = formatCheckpointPath(parsed);
    const record = this.#records.get(canonical);
    if (record !== undefined) return record;
    if (this.#writing.has(canonical)) throw new HttpError(425, `Checkpoint is still being written: ${canonical}`);
    throw new HttpError(404, `There is no checkpoint ${canonical}`);
  }

  /** Named ones, oldest first. */
  list(runId?: string): CheckpointRecord[] {
    return this.#sorted((record) => !record.ephemeral && (runId === undefined || record.runId === runId));
  }

  /** Deletes a run's samplers without a name, but for the newest `keep`. */
  async trimEphemeral(keep: number, runId?: string): Promise<void> {
    const found = this.#sorted((record) => record.ephemeral === true && (runId ?? record.runId) === record.runId);
    for (const record of found.slice(0, Math.max(0, found.length - keep))) await this.delete(record);
  }

  #sorted(matches: (record: CheckpointRecord) => boolean): CheckpointRecord[] {
    const all = [...this.#records.values()].filter(matches);
    return all.sort((a, b) => a.savedAt.localeCompare(b.savedAt));
  }

  async delete(checkpoint: CheckpointPath): Promise<void> {
    const record = this.get(formatCheckpointPath(checkpoint));
    this.#records.delete(formatCheckpointPath(record));
    await rm(this.folder(record), { recursive: true, force: true });
  }

  /** A Hugging Face model, or for adapters a PEFT directory. */
  weightsDirectory(record: CheckpointRecord): string {
    return join(this.folder(record), weightsFolder(record));
  }

  stateDirectory(checkpoint: CheckpointPath): string {
    return join(this.folder(checkpoint), "state");
  }

  /** Only names that stay below the directory. Throws BadRequest for others. */
  private folder({ runId, kind, name }: CheckpointPath): string {
    if (!/^[A-Za-z0-9_-]{1,100}(:train:\d{1,9})?$/.test(runId))
      throw new BadRequest(`"${runId}" is no run of this server`);
    if (!/^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}$/.test(name) || name.endsWith(".tmp"))
      throw new BadRequest(
        `"${name}" cannot name a checkpoint: use 1 to 200 letters, digits, "_", "-" and ".", not starting with "."`,
      );
    // A colon is no character for a folder on every system; session ids hold none, so this stays unique.
    return join(this.directory, runId.replaceAll(":", "."), kind, name);
  }
}

function weightsFolder({ lora }: Pick<CheckpointRecord, "lora">): string {
  return lora === undefined ? "model" : "adapter";
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== "ENOENT") throw error;
}

async function folderBytes(directory: string): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(directory, { recursive: true })) {
    const found = await stat(join(directory, name));
    if (found.isFile()) bytes += found.size;
  }
  return bytes;
}
