/** ONNX Runtime's C API as functions that take addresses: loading, errors, the environment. Only native*.ts may use it. */
import type { LibraryHandle } from "koffi";
import koffi from "./foreign-functions.js";
import { locateLibrary } from "./library.js";
import type { TensorData } from "./types.js";

export type Pointer = bigint | null;

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

const API_VERSION = 17;
/** Entries of the function table in use: up to SessionOptionsAppendExecutionProvider. */
const TABLE_LENGTH = 217;
export const LOG_LEVEL_ERROR = 3;

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
  GetTensorTypeAndShape: [65, "void *", "void *"],
  CreateMemoryInfo: [68, "str", "int", "int", "int", "void *"],
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
  BindOutputToDevice: [138, "void *", "str", "void *"],
  GetBoundOutputValues: [140, "void *", "void *", "void *", "void *"],
  CreateAndRegisterAllocator: [144, "void *", "void *", "void *"],
  SetGlobalIntraOpNumThreads: [147, "void *", "int"],
  SetGlobalInterOpNumThreads: [148, "void *", "int"],
  CreateArenaCfg: [156, "size_t", "int", "int", "int", "void *"],
  SessionOptionsAppendExecutionProvider_CUDA_V2: [204, "void *", "void *"],
  CreateCUDAProviderOptions: [205, "void *"],
  AddExternalInitializers: [210, "void *", "void *", "void *", "size_t"],
  SessionOptionsAppendExecutionProvider: [216, "void *", "str", "void *", "void *", "size_t"],
} as const satisfies Record<string, readonly [number, ...string[]]>;

/** The same for functions that release one object and return nothing. */
const RELEASE_FUNCTIONS = {
  ReleaseEnv: 92,
  ReleaseStatus: 93,
  ReleaseSession: 95,
  ReleaseValue: 96,
  ReleaseRunOptions: 97,
  ReleaseTypeInfo: 98,
  ReleaseTensorTypeAndShapeInfo: 99,
  ReleaseSessionOptions: 100,
  ReleaseThreadingOptions: 122,
  ReleaseIoBinding: 135,
  ReleaseArenaCfg: 157,
  ReleaseCUDAProviderOptions: 208,
} as const;

type Argument = Pointer | number | string;
export interface NativeFunction {
  (...parameters: Argument[]): Pointer;
  async(...parameters: [...Argument[], (error: Error | null, status: Pointer) => void]): void;
}
type StatusFunctions = Readonly<Record<keyof typeof STATUS_FUNCTIONS, NativeFunction>>;
type ReleaseFunctions = Readonly<Record<keyof typeof RELEASE_FUNCTIONS, (object: Pointer) => void>>;

/** The loaded library: one for the process, never unloaded. */
export interface Library {
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
export const outCellAddress = koffi.address(outCell);

export function loadLibrary(): Library {
  if (library !== undefined) return library;
  // Telemetry is on by default in the Linux library and starts when it is loaded; later switches come too late.
  process.env.ORT_DISABLE_TELEMETRY = "1";
  const location = locateLibrary();
  const handle = koffi.load(location.path);
  const base = koffi.decode(handle.func("OrtGetApiBase", "void *", [])(), "void *", 2) as [bigint, bigint];
  const getApi = koffi.decode(base[0], koffi.proto("void *", ["uint32_t"])) as (version: number) => Pointer;
  const getVersion = koffi.decode(base[1], koffi.proto("str", [])) as () => string;
  const api = getApi(API_VERSION);
  if (api === null) {
    throw new Error(`${location.path} (version ${getVersion()}) does not offer version ${API_VERSION} of the C API`);
  }
  const table = koffi.decode(api, "void *", TABLE_LENGTH) as bigint[];
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
export function check(status: Pointer): void {
  if (status !== null) throw takeError(status);
}

export function takeError(status: bigint): OnnxRuntimeError {
  const { getErrorCode, getErrorMessage, release } = library!;
  const error = new OnnxRuntimeError(getErrorMessage(status), getErrorCode(status));
  release.ReleaseStatus(status);
  return error;
}

/** Calls a function whose last parameter is an out-parameter, and returns what it put there. */
export function output(callee: NativeFunction, ...parameters: Argument[]): bigint {
  outCell[0] = 0n;
  check(callee(...parameters, outCellAddress));
  return outCell[0]!;
}

/** Creates the process-wide environment. All sessions share its thread pool; the first caller's thread count holds. */
export function openEnvironment(threads: number): Environment {
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
    registerSharedArena(environment.pointer);
  } finally {
    release.ReleaseThreadingOptions(threading);
  }
  return environment;
}

/**
 * The arena of the sessions with `sharedArena`. It grows by what is asked for rather than by powers of two, and a session
 * takes what another has given back: their peaks do not add up.
 */
function registerSharedArena(environment: bigint): void {
  const { status, release } = loadLibrary();
  const arenaAllocator = 1;
  const growAsRequested = 1;
  const byDefault = -1;
  const configuration = output(status.CreateArenaCfg, 0, growAsRequested, byDefault, byDefault);
  const info = output(status.CreateCpuMemoryInfo, arenaAllocator, 0);
  try {
    check(status.CreateAndRegisterAllocator(environment, info, configuration));
  } finally {
    release.ReleaseArenaCfg(configuration);
  }
}

/** Describes memory of the host. A session must have been made before. */
export function hostMemoryInfo(): bigint {
  if (environment === undefined) throw new Error("ONNX Runtime has no environment yet");
  return environment.memoryInfo;
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
export function addressOf(data: TensorData | BigUint64Array): bigint | null {
  return data.byteLength === 0 ? null : koffi.address(data);
}
