import { totalmem } from "node:os";
import { rotaryTables } from "../model/index.js";
import { type BoundRun, createSession, type Session, type SessionOptions, type Tensor } from "../runtime/index.js";
import type { LoraAdapter, ModelConfig, ParameterStore } from "../weights/index.js";
import { fingerprint } from "./fingerprint.js";
import { generationModel, rotatesSeparately, type WeightKind } from "./generation-graph.js";
import type { KeyValueCache } from "./key-value-cache.js";

/** Weights as constants pay from here on: below, making a session costs more than it saves. */
const MIN_CONSTANT_PARAMETERS = 2_000_000;
/** ONNX Runtime keeps a second copy of constant weights: they may take this share of the machine's memory. */
const MAX_CONSTANT_MEMORY_SHARE = 1 / 8;

/** Lanes run on libuv's thread pool, which has four threads. */
const MAX_LANES = 4;

/**
 * The graph of `generationModel` with the weights of a parameter store. How it is executed depends on the model and the
 * machine alone, never on the work: the ways round differently.
 *
 * Up to four cores: several runs side by side ("lanes"), each on one core. More cores: one run on all of them, but only
 * with constant weights, whose products give the same bits however they are divided among threads; products with
 * weights as feeds do not.
 */
export class GenerationModel {
  readonly config: ModelConfig;
  /** How many runs side by side use all cores. */
  readonly maxLanes: number;
  readonly #parameters: ParameterStore;
  readonly #modelBytes: Uint8Array;
  readonly #weights: Readonly<Record<string, Tensor>>;
  readonly #adapterWeights: Readonly<Record<string, Tensor>>;
  readonly #weightKind: WeightKind;
  readonly #sessionOptions: SessionOptions;
  #session: Session | undefined;
  /** Of the weights that the session has as constants. */
  #fingerprint = "";
  #tables: { readonly positions: number; readonly feeds: Readonly<Record<string, Tensor>> } | undefined;

  constructor(
    config: ModelConfig,
    parameters: ParameterStore,
    { threads, adapter }: { readonly threads: number; readonly adapter?: LoraAdapter | undefined },
  ) {
    this.config = config;
    this.#parameters = parameters;
    const constant =
      parameters.parameterCount >= MIN_CONSTANT_PARAMETERS &&
      parameters.data.byteLength <= totalmem() * MAX_CONSTANT_MEMORY_SHARE;
    this.#weightKind = constant ? "constants" : "feeds";
    // Adapters are feeds in any case: they change with every update, and the constants beside them do not.
    const pool = constant && adapter === undefined && threads > MAX_LANES;
    this.maxLanes = pool ? 1 : Math.min(threads, MAX_LANES);
    this.#modelBytes = generationModel(config, this.#weightKind, adapter?.config);
    this.#weights = tensorsOf(parameters);
    this.#adapterWeights = adapter === undefined ? {} : tensorsOf(adapter.parameters);
    this.#sessionOptions = {
      name: "generation",
      threads,
      parallelism: pool ? "pool" : "caller",
      // The level above prepares layouts for convolutions.
      graphOptimization: "extended",
      ...(constant ? { initializers: this.#weights } : {}),
    };
  }

  /**
   * Makes sure that the next runs use the weights as they are now. Weights that are feeds always are; constants need
   * another session after a change: all runs bound before are closed then.
   * @returns whether bound runs are closed.
   */
  refresh(): boolean {
    const constant = this.#weightKind === "constants";
    const current = constant ? fingerprint(this.#parameters.data) : "";
    if (this.#session !== undefined && current === this.#fingerprint) return false;
    this.close();
    this.#fingerprint = current;
    this.#session = createSession(this.#modelBytes, this.#sessionOptions);
    return true;
  }

  /** Ties a batch of `rows` × `time` tokens to its buffers and to the first `rows` slots of a cache. */
  bind(buffers: BatchBuffers, cache: KeyValueCache, rows: number, time: number): BoundRun {
    const feeds: Record<string, Tensor> = { ...this.#rotaryTables(cache.capacity), ...this.#adapterWeights };
    if (this.#weightKind === "feeds") Object.assign(feeds, this.#weights);
    const fetches: Record<string, Tensor> = {};
    buffers.bindTo(feeds, fetches, rows, time);
    cache.bindTo(feeds, fetches, rows);
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
    this.#session?.close();
    this.#session = undefined;
  }
}

function tensorsOf({ parameters }: ParameterStore): Record<string, Tensor> {
  return Object.fromEntries(
    [...parameters.values()].map(({ name, shape, data }) => [name, { type: "float32", shape, data }]),
  );
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
