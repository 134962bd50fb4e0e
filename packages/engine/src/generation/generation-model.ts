import { totalmem } from "node:os";
import { rotaryTables } from "../model/index.js";
import { type BoundRun, createSession, type Session, type SessionOptions, type Tensor } from "../runtime/index.js";
import type { GenerationPrecision } from "../types.js";
import { type LoraAdapter, type ModelConfig, type ParameterStore, tensorOf } from "../weights/index.js";
import { fingerprint } from "./fingerprint.js";
import { generationModel, rotatesSeparately, type WeightKind } from "./generation-graph.js";
import { weightSpecifications } from "./kept-weights.js";
import type { KeyValueCache } from "./key-value-cache.js";
import { QuantizedWeights } from "./quantization.js";

/** Weights as constants pay from here on: below, making a session costs more than it saves. */
const MIN_CONSTANT_PARAMETERS = 2_000_000;
/** ONNX Runtime keeps a second copy of constant weights: they may take this share of the machine's memory. */
const MAX_CONSTANT_MEMORY_SHARE = 1 / 8;

/** Lanes run on libuv's thread pool, which has four threads. */
const MAX_LANES = 4;

function copiesFit(parameterCount: number, copies: number): boolean {
  return copies * 4 * parameterCount <= totalmem() * MAX_CONSTANT_MEMORY_SHARE;
}

/** Whether generation has the weights as constants, of which ONNX Runtime makes a copy, rather than as feeds. */
export function usesConstants(parameterCount: number): boolean {
  return parameterCount >= MIN_CONSTANT_PARAMETERS && copiesFit(parameterCount, 1);
}

export interface GenerationModelOptions {
  readonly threads: number;
  readonly adapter?: LoraAdapter | undefined;
  readonly precision: GenerationPrecision;
}

type Parallelism = NonNullable<SessionOptions["parallelism"]>;

/**
 * The graph of `generationModel` with the weights of a parameter store. However it is executed, a sequence gets the same
 * bits. Weights that are feeds are multiplied by other kernels than constants, and divided among threads they would
 * round differently: so the choice between the two depends on the model alone, and with feeds a run has one core.
 * Products with constants give the same bits on one core and on several: they run side by side ("lanes"), each on one
 * core, where there are enough sequences, and otherwise one run uses all cores. Weights in int8 are constants always.
 */
export class GenerationModel {
  readonly config: ModelConfig;
  readonly precision: GenerationPrecision;
  /** How many runs side by side use all cores. */
  readonly maxLanes: number;
  readonly #parameters: ParameterStore;
  readonly #modelBytes: Uint8Array;
  readonly #weights: Readonly<Record<string, Tensor>>;
  readonly #quantized: QuantizedWeights | undefined;
  readonly #adapterWeights: Readonly<Record<string, Tensor>>;
  readonly #weightKind: WeightKind;
  /** All products give the same bits however they are divided among threads. */
  readonly #divisible: boolean;
  readonly #threads: number;
  /** Two only where there is memory for two copies of constant weights. */
  readonly #sessions = new Map<Parallelism, Session>();
  #session: Session | undefined;
  /** Of the weights that the sessions have as constants. */
  #fingerprint = "";
  #tables: { readonly positions: number; readonly feeds: Readonly<Record<string, Tensor>> } | undefined;

  constructor(
    config: ModelConfig,
    parameters: ParameterStore,
    { threads, adapter, precision }: GenerationModelOptions,
  ) {
    this.config = config;
    this.precision = precision;
    this.#parameters = parameters;
    this.#threads = threads;
    this.#quantized = precision === "int8" ? new QuantizedWeights(config) : undefined;
    const constant = this.#quantized !== undefined || usesConstants(parameters.parameterCount);
    this.#weightKind = constant ? "constants" : "feeds";
    // Adapters are feeds in any case: they change with every update, and the constants beside them do not.
    this.#divisible = constant && adapter === undefined;
    this.maxLanes = this.#divisible && threads > MAX_LANES ? 1 : Math.min(threads, MAX_LANES);
    const kept = { precision, typeOf: (name: string) => parameters.get(name).type };
    this.#modelBytes = generationModel(config, this.#weightKind, adapter?.config, "cpu", kept);
    const tensors = { ...tensorsOf(parameters), ...this.#quantized?.tensors() };
    this.#weights = Object.fromEntries(weightSpecifications(config, kept).map(({ name }) => [name, tensors[name]!]));
    this.#adapterWeights = adapter === undefined ? {} : tensorsOf(adapter.parameters);
  }

  /**
   * Makes sure that the next runs use the weights as they are now, and the cores that `lanes` runs side by side leave
   * each of them. Weights that are feeds always are current; constants need another session after a change.
   * @returns whether runs that were bound before must be bound again.
   */
  refresh(lanes: number): boolean {
    const constant = this.#weightKind === "constants";
    const current = constant ? this.#currentFingerprint() : "";
    if (current !== this.#fingerprint) {
      this.close();
      this.#quantized?.update(this.#parameters);
    }
    this.#fingerprint = current;
    const parallelism = this.#divisible && lanes === 1 && this.#threads > 1 ? "pool" : "caller";
    const previous = this.#session;
    this.#session = this.#sessions.get(parallelism);
    if (this.#session === undefined) {
      if (!copiesFit(this.#parameters.parameterCount, 2)) this.close();
      this.#session = createSession(this.#modelBytes, {
        name: "generation",
        threads: this.#threads,
        parallelism,
        // The level above prepares layouts for convolutions.
        graphOptimization: "extended",
        ...(constant ? { initializers: this.#weights } : {}),
      });
      this.#sessions.set(parallelism, this.#session);
    }
    return this.#session !== previous;
  }

  #currentFingerprint(): string {
    const { data, halves } = this.#parameters;
    return `${fingerprint(data)} ${fingerprint(new Float32Array(halves.buffer))}`;
  }

  /** Ties a batch of `rows` × `time` tokens to its buffers and to `rows` slots of a cache, from `firstSlot` on. */
  bind(buffers: BatchBuffers, cache: KeyValueCache, rows: number, time: number, firstSlot = 0): BoundRun {
    const feeds: Record<string, Tensor> = { ...this.#rotaryTables(cache.capacity), ...this.#adapterWeights };
    if (this.#weightKind === "feeds") Object.assign(feeds, this.#weights);
    const fetches: Record<string, Tensor> = {};
    buffers.bindTo(feeds, fetches, rows, time);
    cache.bindTo(feeds, fetches, rows, firstSlot);
    if (this.#session === undefined) throw new Error("The generation model has not been refreshed");
    return this.#session.bind(feeds, fetches);
  }

  /** cos and sin for at least so many positions. */
  #rotaryTables(positions: number): Readonly<Record<string, Tensor>> {
    if (this.#tables === undefined || this.#tables.positions < positions) {
      const { cosine, sine } = rotaryTables(this.config.inverseFrequencies, positions);
      const shape = [positions, this.config.headDimension / 2];
      const feeds: Record<string, Tensor> = {
        cosine: { type: "float32", shape, data: cosine },
        sine: { type: "float32", shape, data: sine },
      };
      this.#tables = { positions, feeds };
    }
    return this.#tables.feeds;
  }

  close(): void {
    for (const session of this.#sessions.values()) session.close();
    this.#sessions.clear();
    this.#session = undefined;
  }
}

function tensorsOf({ parameters }: ParameterStore): Record<string, Tensor> {
  return Object.fromEntries([...parameters.values()].map((parameter) => [parameter.name, tensorOf(parameter)]));
}

/**
 * With a single row ONNX Runtime's products take another kernel, whose results differ in their last bits, and a result
 * would depend on what else is in the batch. So nothing runs with fewer rows than this.
 */
const MIN_ROWS = 2;

/** The per-step inputs and outputs of up to `maxRows` sequences; a run with fewer rows uses the start of each array. */
export class BatchBuffers {
  readonly ids: Int32Array;
  readonly positions: BigInt64Array | undefined;
  readonly lastRows: Int32Array;
  readonly lastIndices: Int32Array;
  readonly longest = new Int32Array(1);
  readonly inverseTemperatures: Float32Array;
  readonly logits: Float32Array;
  readonly probabilities: Float32Array;
  readonly #vocabularySize: number;

  constructor(config: ModelConfig, maxRows: number, time: number) {
    this.#vocabularySize = config.vocabularySize;
    this.ids = new Int32Array(maxRows * time);
    this.positions = rotatesSeparately(config) ? new BigInt64Array(maxRows * time) : undefined;
    this.lastIndices = new Int32Array(maxRows);
    const outputs = Math.max(MIN_ROWS, maxRows);
    this.lastRows = Int32Array.from({ length: outputs }, (_, row) => Math.min(row, maxRows - 1) * time);
    this.inverseTemperatures = new Float32Array(outputs).fill(1);
    this.logits = new Float32Array(outputs * config.vocabularySize);
    this.probabilities = new Float32Array(outputs * config.vocabularySize);
  }

  /** Bytes a row of a decode batch. */
  static bytesPerRow(config: ModelConfig): number {
    return 2 * 4 * config.vocabularySize;
  }

  bindTo(feeds: Record<string, Tensor>, fetches: Record<string, Tensor>, rows: number, time: number): void {
    const tokens = rows * time;
    const outputs = Math.max(MIN_ROWS, rows);
    const vector = (data: Int32Array, length: number): Tensor => ({
      type: "int32",
      shape: [length],
      data: data.subarray(0, length),
    });
    feeds.ids = vector(this.ids, tokens);
    feeds.batchTime = { type: "int64", shape: [3], data: BigInt64Array.of(BigInt(rows), BigInt(time), -1n) };
    feeds.lastRows = vector(this.lastRows, outputs);
    feeds.lastIndices = vector(this.lastIndices, rows);
    feeds.longest = { type: "int32", shape: [], data: this.longest };
    const floats = (data: Float32Array, columns: number): Tensor => ({
      type: "float32",
      shape: [outputs, columns],
      data: data.subarray(0, outputs * columns),
    });
    feeds.inverseTemperatures = floats(this.inverseTemperatures, 1);
    if (this.positions !== undefined) {
      feeds.positions = { type: "int64", shape: [tokens, 1], data: this.positions.subarray(0, tokens) };
    }
    fetches.logits = floats(this.logits, this.#vocabularySize);
    fetches.probabilities = floats(this.probabilities, this.#vocabularySize);
  }
}
