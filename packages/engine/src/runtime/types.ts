/** The small interface behind which an execution library (ONNX Runtime) lives. */

export type ElementType = "float32" | "int32" | "int64" | "bool" | "uint8" | "int8" | "float16" | "bfloat16";

export type TensorData = Float32Array | Int32Array | BigInt64Array | Uint8Array | Int8Array | Uint16Array;

/** Where a session computes. "cpu" is always there; the others need a device and, for CUDA, libraries of their own. */
export type ExecutionProvider = "cpu" | "webgpu" | "cuda";

/** A provider with memory of its own. */
export type DeviceProvider = Exclude<ExecutionProvider, "cpu">;

/** A view on memory that the caller owns. Sub-array views are fine; nothing is copied. */
export interface Tensor {
  readonly type: ElementType;
  readonly shape: readonly number[];
  readonly data: TensorData;
}

export interface RunOptions {
  /** Aborting ends the run at the next node; the promise rejects with an AbortError. */
  readonly signal?: AbortSignal;
}

/**
 * A bound run: inputs and outputs are fixed, so that repeated runs cost microseconds. The data behind the tensors may
 * change between runs. It keeps its tensors alive until `close`.
 */
export interface BoundRun {
  /** Runs on a worker thread of the library; the event loop stays free. Inputs must not change meanwhile. */
  run(options?: RunOptions): Promise<void>;
  /** Runs on the calling thread: for small graphs, where the hand-over costs more than the work. */
  runSync(): void;
  close(): void;
}

export interface Session {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  /** Every input must be fed and every fetched output be preallocated with its exact shape: both are checked here. */
  bind(feeds: Readonly<Record<string, Tensor>>, fetches: Readonly<Record<string, Tensor>>): BoundRun;
  /** `bind`, run once, close. */
  run(
    feeds: Readonly<Record<string, Tensor>>,
    fetches: Readonly<Record<string, Tensor>>,
    options?: RunOptions,
  ): Promise<void>;
  /** Ends profiling (see `SessionOptions.profilePrefix`) and returns the path of the JSON trace that was written. */
  endProfiling(): string;
  /** Closes the bound runs too. Memory is given back once a run in progress has ended. Closing twice is harmless. */
  close(): void;
}

export interface SessionOptions {
  /** Default: "cpu". Another provider runs what it has kernels for; the rest stays on the CPU. */
  readonly provider?: ExecutionProvider;
  /** Threads of the process-wide pool (all sessions share one; the first session decides). Default: all cores. */
  readonly threads?: number;
  /**
   * "pool" (default): operators split their work over the process-wide pool. "caller": a run uses the calling thread
   * alone, so that several runs side by side do not disturb each other and a row's result does not depend on the others.
   */
  readonly parallelism?: "pool" | "caller";
  /**
   * Plan one block of memory for all intermediate values of a shape of inputs (default). Without, each is allocated from
   * the arena when it is needed: less memory, and no slower, where shapes vary.
   */
  readonly memoryPlan?: boolean;
  /** Takes intermediate values from an arena that all such sessions share, so that their peaks do not add up. */
  readonly sharedArena?: boolean;
  readonly graphOptimization?: "disabled" | "basic" | "extended" | "all";
  /** Shown in errors and profiles. */
  readonly name?: string;
  /** Records the time of every node; the trace goes to `<profilePrefix>_<date>.json`. */
  readonly profilePrefix?: string;
  /**
   * Data of the initializers that the model declares as external, by name. ONNX Runtime prepares constant weights for
   * its products once, which makes runs with few rows much faster, but changes of the data show only in part: make
   * another session instead.
   */
  readonly initializers?: Readonly<Record<string, Tensor>>;
  /** Extra ONNX Runtime session configuration entries. */
  readonly config?: Readonly<Record<string, string>>;
}
