/**
 * The adapter to ONNX Runtime's C API. Every pointer of the package lives in this file, and a lifetime mistake in it is
 * a SIGSEGV: nothing outside may see an address, and the callers (session.ts) guarantee that nothing is used after its
 * `release` and nothing is released during a run.
 */
import koffi, { type LibraryHandle } from "koffi";
import { locateLibrary } from "./library.js";
import type { ElementType, SessionOptions, Tensor, TensorData } from "./types.js";

type Pointer = bigint | null;

/** Name, type and shape of a graph input or output as the model declares it. */
export interface ValueInfo {
  readonly name: string;
  /** undefined = an element type that this package does not feed. */
  readonly type: ElementType | undefined;
  /** -1 = any. */
  readonly shape: readonly number[];
}

/** An error status of ONNX Runtime. */
export class OnnxRuntimeError extends Error {
  override readonly name = "OnnxRuntimeError";
  constructor(
    message: string,
    /** OrtErrorCode. */
    readonly code: number,
  ) {
    super(message);
  }
}

/** ONNX TensorProto.DataType of each element type. */
const ELEMENT_CODES: Readonly<Record<ElementType, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
};
const ELEMENT_TYPES = new Map<number, ElementType>(
  Object.entries(ELEMENT_CODES).map(([type, code]) => [code, type as ElementType]),
);

const OPTIMIZATION_LEVELS = { disabled: 0, basic: 1, extended: 2, all: 99 } as const;
const API_VERSION = 17;
const LOG_LEVEL_ERROR = 3;

/** Index in OrtApi (onnxruntime_c_api.h; the order never changes), then the parameter types. All return a status. */
const STATUS_FUNCTIONS = {
  CreateSessionFromArray: [8, "void *", "void *", "size_t", "void *", "void *"],
  CreateSessionOptions: [10, "void *"],
  EnableProfiling: [14, "void *", "void *"],
  DisableMemPattern: [17, "void *"],
  SetSessionLogId: [20, "void *", "str"],
  SetSessionLogSeverityLevel: [22, "void *", "int"],
  SetSessionGraphOptimizationLevel: [23, "void *", "int"],
  SetIntraOpNumThreads: [24, "void *", "int"],
  SessionGetInputCount: [30, "void *", "void *"],
  SessionGetOutputCount: [31, "void *", "void *"],
  SessionGetInputTypeInfo: [33, "void *", "size_t", "void *"],
  SessionGetOutputTypeInfo: [34, "void *", "size_t", "void *"],
  SessionGetInputName: [36, "void *", "size_t", "void *", "void *"],
  SessionGetOutputName: [37, "void *", "size_t", "void *", "void *"],
  CreateRunOptions: [39, "void *"],
  RunOptionsSetRunLogSeverityLevel: [41, "void *", "int"],
  RunOptionsSetTerminate: [46, "void *"],
  RunOptionsUnsetTerminate: [47, "void *"],
  CreateTensorWithDataAsOrtValue: [49, "void *", "void *", "size_t", "void *", "size_t", "int", "void *"],
  CastTypeInfoToTensorInfo: [55, "void *", "void *"],
  GetTensorElementType: [60, "void *", "void *"],
  GetDimensionsCount: [61, "void *", "void *"],
  GetDimensions: [62, "void *", "void *", "size_t"],
  CreateCpuMemoryInfo: [69, "int", "int", "void *"],
  AllocatorFree: [76, "void *", "void *"],
  GetAllocatorWithDefaultOptions: [78, "void *"],
  SessionEndProfiling: [110, "void *", "void *", "void *"],
  CreateEnvWithGlobalThreadPools: [119, "int", "str", "void *", "void *"],
  DisablePerSessionThreads: [120, "void *"],
  CreateThreadingOptions: [121, "void *"],
  GetAvailableProviders: [125, "void *", "void *"],
  ReleaseAvailableProviders: [126, "void *", "int"],
  AddSessionConfigEntry: [130, "void *", "str", "str"],
  RunWithBinding: [133, "void *", "void *", "void *"],
  CreateIoBinding: [134, "void *", "void *"],
  BindInput: [136, "void *", "str", "void *"],
  BindOutput: [137, "void *", "str", "void *"],
  SetGlobalIntraOpNumThreads: [147, "void *", "int"],
  SetGlobalInterOpNumThreads: [148, "void *", "int"],
  AddExternalInitializers: [210, "void *", "void *", "void *", "size_t"],
} as const satisfies Record<string, readonly [number, ...string[]]>;

/** The same for functions that release one object and return nothing. */
const RELEASE_FUNCTIONS = {
  ReleaseEnv: 92,
  ReleaseStatus: 93,
  ReleaseSession: 95,
  ReleaseValue: 96,
  ReleaseRunOptions: 97,
  ReleaseTypeInfo: 98,
  ReleaseSessionOptions: 100,
  ReleaseThreadingOptions: 122,
  ReleaseIoBinding: 135,
} as const;

type Argument = Pointer | number | string;
interface NativeFunction {
  (...parameters: Argument[]): Pointer;
  async(...parameters: [...Argument[], (error: Error | null, status: Pointer) => void]): void;
}
type StatusFunctions = Readonly<Record<keyof typeof STATUS_FUNCTIONS, NativeFunction>>;
type ReleaseFunctions = Readonly<Record<keyof typeof RELEASE_FUNCTIONS, (object: Pointer) => void>>;

/** The loaded library: one for the process, never unloaded. */
interface Library {
  /** Functions decoded from the table do not keep the library loaded; this does. */
  readonly handle: LibraryHandle;
  readonly path: string;
  readonly version: string;
  readonly status: StatusFunctions;
  readonly release: ReleaseFunctions;
  readonly getErrorCode: (status: Pointer) => number;
  readonly getErrorMessage: (status: Pointer) => string;
  readonly allocator: bigint;
}
interface Environment {
  readonly pointer: bigint;
  readonly threads: number;
  readonly memoryInfo: bigint;
}

let library: Library | undefined;
let environment: Environment | undefined;

// One cell for the out-parameters of synchronous calls: none of them re-enters JavaScript.
const outCell = new BigUint64Array(1);
const outCellAddress = koffi.address(outCell);

function loadLibrary(): Library {
  if (library !== undefined) return library;
  // Telemetry is on by default in the Linux library and starts when it is loaded; later switches come too late.
  process.env.ORT_DISABLE_TELEMETRY = "1";
  const location = locateLibrary();
  // The default stack of koffi's asynchronous calls (128 KiB) is smaller than what ONNX Runtime's kernels put on it.
  koffi.config({ async_stack_size: 4 << 20, sync_stack_size: 4 << 20, resident_async_pools: 2 });
  const handle = koffi.load(location.path);
  const base = koffi.decode(handle.func("OrtGetApiBase", "void *", [])(), "void *", 2) as [bigint, bigint];
  const getApi = koffi.decode(base[0], koffi.proto("void *", ["uint32_t"])) as (version: number) => Pointer;
  const getVersion = koffi.decode(base[1], koffi.proto("str", [])) as () => string;
  const api = getApi(API_VERSION);
  if (api === null) {
    throw new Error(`${location.path} (version ${getVersion()}) does not offer version ${API_VERSION} of the C API`);
  }
  const table = koffi.decode(api, "void *", 211) as bigint[];
  const bind = (index: number, result: string, parameters: string[]) =>
    koffi.decode(table[index]!, koffi.proto(result, parameters)) as NativeFunction;
  const status = Object.fromEntries(
    Object.entries(STATUS_FUNCTIONS).map(([name, [index, ...parameters]]) => [name, bind(index, "void *", parameters)]),
  ) as StatusFunctions;
  const release = Object.fromEntries(
    Object.entries(RELEASE_FUNCTIONS).map(([name, index]) => [name, bind(index, "void", ["void *"])]),
  ) as unknown as ReleaseFunctions;
  const partial = {
    handle,
    path: location.path,
    version: getVersion(),
    status,
    release,
    getErrorCode: bind(1, "int", ["void *"]) as unknown as (status: Pointer) => number,
    getErrorMessage: bind(2, "str", ["void *"]) as unknown as (status: Pointer) => string,
  };
  library = { ...partial, allocator: 0n };
  library = { ...partial, allocator: output(status.GetAllocatorWithDefaultOptions) };
  return library;
}

/** Turns an error status into an exception and frees it. */
function check(status: Pointer): void {
  if (status !== null) throw takeError(status);
}

function takeError(status: bigint): OnnxRuntimeError {
  const { getErrorCode, getErrorMessage, release } = library!;
  const error = new OnnxRuntimeError(getErrorMessage(status), getErrorCode(status));
  release.ReleaseStatus(status);
  return error;
}

/** Calls a function whose last parameter is an out-parameter, and returns what it put there. */
function output(callee: NativeFunction, ...parameters: Argument[]): bigint {
  outCell[0] = 0n;
  check(callee(...parameters, outCellAddress));
  return outCell[0]!;
}

/** Creates the process-wide environment. All sessions share its thread pool; the first caller's thread count holds. */
function openEnvironment(threads: number): Environment {
  if (environment !== undefined) return environment;
  const { status, release } = loadLibrary();
  const threading = output(status.CreateThreadingOptions);
  try {
    check(status.SetGlobalIntraOpNumThreads(threading, threads));
    check(status.SetGlobalInterOpNumThreads(threading, 1));
    environment = {
      pointer: output(status.CreateEnvWithGlobalThreadPools, LOG_LEVEL_ERROR, "critique-grpo", threading),
      threads,
      memoryInfo: output(status.CreateCpuMemoryInfo, 0, 0),
    };
  } finally {
    release.ReleaseThreadingOptions(threading);
  }
  return environment;
}

/** Facts about the library for `doctor`. Loads it, but starts no threads. */
export function libraryFacts(): { path: string; version: string; providers: string[]; threads: number | undefined } {
  const { path, version, status } = loadLibrary();
  const list = new BigUint64Array(1);
  const count = new Int32Array(1);
  check(status.GetAvailableProviders(koffi.address(list), koffi.address(count)));
  const providers = (koffi.decode(list[0]!, "char *", count[0]!) as string[]).slice();
  check(status.ReleaseAvailableProviders(list[0]!, count[0]!));
  return { path, version, providers, threads: environment?.threads };
}

/** An address that stays valid as long as the caller keeps the array: typed arrays' memory does not move. */
function addressOf(data: TensorData | BigUint64Array): bigint | null {
  return data.byteLength === 0 ? null : koffi.address(data);
}

/** Tensors of ONNX Runtime over memory of the caller, kept alive until `release`. */
class TensorValues {
  readonly #values: bigint[] = [];
  /** Holds the arrays behind the values: ONNX Runtime only knows their addresses. */
  readonly #memory: unknown[] = [];

  create(tensor: Tensor): bigint {
    const shape = BigInt64Array.from(tensor.shape, BigInt);
    // The shape as well: an array that only its address stands for may be collected before the call is made.
    this.#memory.push(tensor.data, shape);
    const value = output(
      library!.status.CreateTensorWithDataAsOrtValue,
      environment!.memoryInfo,
      // ONNX Runtime wants an address even for an empty tensor.
      addressOf(tensor.data) ?? outCellAddress,
      tensor.data.byteLength,
      addressOf(shape) ?? outCellAddress,
      shape.length,
      ELEMENT_CODES[tensor.type],
    );
    this.#values.push(value);
    return value;
  }

  release(): void {
    for (const value of this.#values) library!.release.ReleaseValue(value);
    this.#values.length = 0;
    this.#memory.length = 0;
  }
}

/** A loaded model. `release` must come after all its bindings' and outside of runs. */
export class NativeSession {
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly #pointer: bigint;
  readonly #initializers = new TensorValues();

  constructor(modelBytes: Uint8Array, options: SessionOptions & { readonly threads: number }) {
    const { pointer: env } = openEnvironment(options.threads);
    const { status, release } = library!;
    const sessionOptions = output(status.CreateSessionOptions);
    try {
      if (options.parallelism === "caller") check(status.SetIntraOpNumThreads(sessionOptions, 1));
      else check(status.DisablePerSessionThreads(sessionOptions));
      if (options.memoryPlan === false) check(status.DisableMemPattern(sessionOptions));
      check(status.SetSessionLogSeverityLevel(sessionOptions, LOG_LEVEL_ERROR));
      check(
        status.SetSessionGraphOptimizationLevel(
          sessionOptions,
          OPTIMIZATION_LEVELS[options.graphOptimization ?? "all"],
        ),
      );
      if (options.name !== undefined) check(status.SetSessionLogId(sessionOptions, options.name));
      for (const [key, value] of Object.entries(options.config ?? {})) {
        check(status.AddSessionConfigEntry(sessionOptions, key, value));
      }
      if (options.profilePrefix !== undefined) {
        // Paths are wide strings on Windows.
        const encoding = process.platform === "win32" ? "utf16le" : "utf8";
        const path = Buffer.from(`${options.profilePrefix}\0`, encoding);
        check(status.EnableProfiling(sessionOptions, koffi.address(path)));
      }
      this.#addInitializers(sessionOptions, options.initializers ?? {});
      this.#pointer = output(
        status.CreateSessionFromArray,
        env,
        addressOf(modelBytes),
        modelBytes.byteLength,
        sessionOptions,
      );
    } catch (error) {
      this.#initializers.release();
      throw error;
    } finally {
      release.ReleaseSessionOptions(sessionOptions);
    }
    this.inputs = this.#describe(
      status.SessionGetInputCount,
      status.SessionGetInputName,
      status.SessionGetInputTypeInfo,
    );
    this.outputs = this.#describe(
      status.SessionGetOutputCount,
      status.SessionGetOutputName,
      status.SessionGetOutputTypeInfo,
    );
  }

  #addInitializers(sessionOptions: bigint, initializers: Readonly<Record<string, Tensor>>): void {
    const names = Object.keys(initializers).map((name) => Buffer.from(`${name}\0`));
    if (names.length === 0) return;
    const namePointers = BigUint64Array.from(names, (name) => koffi.address(name));
    const valuePointers = BigUint64Array.from(Object.values(initializers), (tensor) =>
      this.#initializers.create(tensor),
    );
    const { AddExternalInitializers } = library!.status;
    check(AddExternalInitializers(sessionOptions, addressOf(namePointers), addressOf(valuePointers), names.length));
  }

  #describe(count: NativeFunction, name: NativeFunction, type: NativeFunction): ValueInfo[] {
    const { allocator, status, release } = library!;
    return Array.from({ length: Number(output(count, this.#pointer)) }, (_, index) => {
      const text = output(name, this.#pointer, index, allocator);
      const valueName = koffi.decode.string(text);
      check(status.AllocatorFree(allocator, text));
      const typeInfo = output(type, this.#pointer, index);
      try {
        const tensorInfo = output(status.CastTypeInfoToTensorInfo, typeInfo);
        if (tensorInfo === 0n) return { name: valueName, type: undefined, shape: [] };
        const shape = new BigInt64Array(Number(output(status.GetDimensionsCount, tensorInfo)));
        if (shape.length > 0) check(status.GetDimensions(tensorInfo, addressOf(shape), shape.length));
        // An enum is four bytes; the upper half of the cell was cleared before the call.
        const elementType = ELEMENT_TYPES.get(Number(output(status.GetTensorElementType, tensorInfo)));
        return { name: valueName, type: elementType, shape: Array.from(shape, Number) };
      } finally {
        release.ReleaseTypeInfo(typeInfo);
      }
    });
  }

  bind(feeds: ReadonlyMap<string, Tensor>, fetches: ReadonlyMap<string, Tensor>): NativeBinding {
    return new NativeBinding(this.#pointer, feeds, fetches);
  }

  /** Ends profiling and returns the path of the file that was written. */
  endProfiling(): string {
    const { allocator, status } = library!;
    const text = output(status.SessionEndProfiling, this.#pointer, allocator);
    const path = koffi.decode.string(text);
    check(status.AllocatorFree(allocator, text));
    return path;
  }

  release(): void {
    library!.release.ReleaseSession(this.#pointer);
    this.#initializers.release();
  }
}

/** A session with its inputs and outputs tied to memory of the caller. One run at a time. */
export class NativeBinding {
  readonly #session: bigint;
  readonly #binding: bigint;
  readonly #runOptions: bigint;
  readonly #values = new TensorValues();

  constructor(session: bigint, feeds: ReadonlyMap<string, Tensor>, fetches: ReadonlyMap<string, Tensor>) {
    const { status } = library!;
    this.#session = session;
    this.#binding = output(status.CreateIoBinding, session);
    this.#runOptions = output(status.CreateRunOptions);
    try {
      // A terminated run would otherwise print an error; it is reported as an exception anyway.
      check(status.RunOptionsSetRunLogSeverityLevel(this.#runOptions, LOG_LEVEL_ERROR + 1));
      for (const [name, tensor] of feeds) check(status.BindInput(this.#binding, name, this.#values.create(tensor)));
      for (const [name, tensor] of fetches) check(status.BindOutput(this.#binding, name, this.#values.create(tensor)));
    } catch (error) {
      this.release();
      throw error;
    }
  }

  runSync(): void {
    check(library!.status.RunWithBinding(this.#session, this.#runOptions, this.#binding));
  }

  /** Runs on a thread of libuv's pool; `done` is called on the event loop. */
  runAsync(done: (error: Error | null) => void): void {
    library!.status.RunWithBinding.async(this.#session, this.#runOptions, this.#binding, (error, status) => {
      done(error ?? (status === null ? null : takeError(status)));
    });
  }

  /** Makes the current run fail at its next node (true), or lets the next run go through again (false). */
  setTerminate(terminate: boolean): void {
    const { status } = library!;
    check((terminate ? status.RunOptionsSetTerminate : status.RunOptionsUnsetTerminate)(this.#runOptions));
  }

  release(): void {
    const { release } = library!;
    release.ReleaseIoBinding(this.#binding);
    release.ReleaseRunOptions(this.#runOptions);
    this.#values.release();
  }
}
