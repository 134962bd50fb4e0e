/** What the Tinker routes work on: sessions, models in training, samplers. */
import { randomUUID } from "node:crypto";
import { BadRequest, HttpError } from "../../http/errors.js";
import type { TextCodec } from "../../policy/policy.js";
import { adapterOptions, describeShape } from "../models/adapter-shape.js";
import type { CheckpointRecord, CheckpointStore } from "../models/checkpoint-store.js";
import type { ModelHost, Weights } from "../models/model-host.js";
import { TrainingModel, type TrainingModelFacts, type TrainingModelOptions } from "../models/training-model.js";

export type FineTuning = "as-asked" | "lora" | "full";

export interface ServiceOptions extends TrainingModelOptions {
  readonly modelName: string;
  /** Where clients find the tokenizer's files. */
  readonly tokenizerId: string | null;
  /** "lora" refuses full fine-tuning; "full" trains all weights, whatever rank a client asks for. */
  readonly fineTuning: FineTuning;
  /** Models in training at a time: with weights of their own, and with adapters. */
  readonly maxModels: number;
  readonly maxAdapters: number;
  /** A session that has been silent for so long may lose its models to another one. */
  readonly sessionTimeoutMs: number;
  readonly onNotice: (message: string) => void;
}

interface Session {
  readonly id: string;
  lastSeen: number;
  ended: boolean;
  readonly createdAt: Date;
  readonly tags: readonly unknown[];
}

export interface SamplingSession {
  readonly id: string;
  readonly sessionId: string;
  readonly modelPath: string | undefined;
}

export class TinkerService {
  readonly sessions = new Map<string, Session>();
  readonly models = new Map<string, TrainingModel>();
  readonly samplingSessions = new Map<string, SamplingSession>();
  /** Slots that are being filled: of models with weights of their own, and with adapters. */
  readonly #creating = { full: 0, lora: 0 };
  #closed = false;

  constructor(
    readonly options: ServiceOptions,
    readonly host: ModelHost,
    readonly store: CheckpointStore,
    readonly codec: TextCodec | null,
  ) {}

  createSession(tags: readonly unknown[]): string {
    const id = randomUUID();
    this.sessions.set(id, { id, tags, createdAt: new Date(), lastSeen: Date.now(), ended: false });
    return id;
  }

  /** The session, marked as alive. Throws HttpError 404. */
  session(id: string): Session {
    const session = this.sessions.get(id);
    if (session === undefined) throw new HttpError(404, `There is no session ${id}; was the server restarted?`);
    if (session.ended) throw new BadRequest(`Session ${id} was finished`);
    session.lastSeen = Date.now();
    return session;
  }

  /** Throws HttpError 404. */
  model(id: string): TrainingModel {
    const model = this.models.get(id);
    if (model === undefined) throw new HttpError(404, `There is no model ${id}: unloaded, or the server was restarted`);
    const session = this.sessions.get(model.facts.sessionId);
    if (session !== undefined) session.lastSeen = Date.now();
    return model;
  }

  checkBaseModel(name: string): void {
    if (name !== this.options.modelName)
      throw new BadRequest(`base_model "${name}" is not served here; this server has "${this.options.modelName}"`);
  }

  /**
   * Makes a model of the base weights, with fresh adapters where it trains such. Waits for a slot where one may become free.
   * @param seed of fresh adapters
   * Throws BadRequest for what this server was not started for.
   */
  async createModel(facts: TrainingModelFacts, seed: number): Promise<TrainingModel> {
    const { id, lora } = facts;
    const { fineTuning } = this.options;
    if (lora === null && fineTuning === "lora")
      throw new BadRequest(
        "Full fine-tuning (lora_config.rank 0) is off here: the server was started with --lora-only",
      );
    if (lora !== null && fineTuning === "full")
      throw new BadRequest(
        `The server was started with --full and has no ${describeShape(lora)}; start one without it for them`,
      );
    const kind = lora === null ? "full" : "lora";
    await this.#freeSlot(kind);
    this.#creating[kind]++;
    try {
      const weights = lora === null ? this.host.base : { name: `${id}#0`, adapter: adapterOptions(lora, seed) };
      const model = new TrainingModel(facts, await this.host.createTraining(weights), this.options);
      this.models.set(id, model);
      this.options.onNotice(`model ${id} created: trains ${describeShape(lora)}`);
      return model;
    } finally {
      this.#creating[kind]--;
    }
  }

  async unload(model: TrainingModel): Promise<void> {
    if (!this.models.delete(model.facts.id)) return;
    model.close();
    await this.host.release(model.loaded);
    await this.store.trimEphemeral(0, model.facts.id);
    this.options.onNotice(`model ${model.facts.id} unloaded`);
  }

  async finishSession(id: string): Promise<void> {
    const session = this.sessions.get(id);
    if (session === undefined) throw new HttpError(404, `There is no session ${id}`);
    session.ended = true;
    await this.#unloadSession(id);
  }

  addSamplingSession(sampling: SamplingSession): string {
    const earlier = this.samplingSessions.get(sampling.id);
    if (earlier !== undefined && earlier.modelPath !== sampling.modelPath)
      throw new HttpError(409, `${sampling.id} exists with other weights`);
    this.samplingSessions.set(sampling.id, sampling);
    return sampling.id;
  }

  samplingSession(id: string): SamplingSession {
    const found = this.samplingSessions.get(id);
    if (found === undefined) throw new HttpError(404, `There is no sampling session ${id}; was the server restarted?`);
    const session = this.sessions.get(found.sessionId);
    if (session !== undefined) session.lastSeen = Date.now();
    return found;
  }

  /** Of a checkpoint path; undefined is the base model. */
  weights(modelPath: string | undefined): Weights {
    return modelPath === undefined ? this.host.base : this.weightsOf(this.checkpoint(modelPath));
  }

  /** Throws what the store throws, and BadRequest for a checkpoint of another base model. */
  checkpoint(path: string): CheckpointRecord {
    const record = this.store.get(path);
    if (record.baseModel !== this.options.modelName)
      throw new BadRequest(`${path} is a checkpoint of "${record.baseModel}", not of "${this.options.modelName}"`);
    return record;
  }

  weightsOf(record: CheckpointRecord): Weights {
    const directory = { directory: this.store.weightsDirectory(record) };
    const name = record.weights;
    return record.lora === undefined ? { name, source: directory } : { name, adapter: directory };
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const model of this.models.values()) model.close();
    await this.host.close();
    await this.store.trimEphemeral(0);
  }

  async #freeSlot(kind: "full" | "lora"): Promise<void> {
    const started = Date.now();
    const [limit, option] =
      kind === "full" ? [this.options.maxModels, "--max-models"] : [this.options.maxAdapters, "--max-adapters"];
    for (;;) {
      if (this.#closed) throw new HttpError(503, "The server is shutting down");
      const models = [...this.models.values()].filter(({ facts }) => (facts.lora === null) === (kind === "full"));
      if (models.length + this.#creating[kind] < limit) return;
      const owners = models.map((model) => this.sessions.get(model.facts.sessionId)!);
      const silent = owners.find((session) => Date.now() - session.lastSeen > this.options.sessionTimeoutMs);
      if (silent !== undefined) {
        this.options.onNotice(`session ${silent.id} is silent: its models make room`);
        await this.#unloadSession(silent.id);
        continue;
      }
      // A client that lives shows it within the time-out; one that was just killed does not.
      if (owners.every((session) => session.lastSeen > started) || Date.now() - started > this.options.sessionTimeoutMs)
        throw new BadRequest(
          `${limit} models are in memory and in use (${models.map(({ facts }) => facts.id).join(", ")}); unload one, or start the server with a larger ${option}`,
        );
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  async #unloadSession(id: string): Promise<void> {
    for (const model of [...this.models.values()]) if (model.facts.sessionId === id) await this.unload(model);
  }
}
