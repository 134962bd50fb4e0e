/**
 * The adapter to ONNX Runtime's C API. Every pointer of the package lives in native*.ts, and a lifetime mistake there is
 * a SIGSEGV: nothing outside may see an address, and the callers (session.ts, device.ts) guarantee that nothing is used
 * after its `release` and nothing is released during a run.
 */
import koffi from "./foreign-functions.js";
import {
  addressOf,
  check,
  hostMemoryInfo,
  LOG_LEVEL_ERROR,
  loadLibrary,
  type NativeFunction,
  openEnvironment,
  outCellAddress,
  output,
  takeError,
} from "./native-library.js";
import { appendExecutionProvider, deviceMemoryInfo } from "./native-provider.js";
import type { ElementType, ExecutionProvider, SessionOptions, Tensor } from "./types.js";

export { OnnxRuntimeError } from "./native-library.js";

/** Name, type and shape of a graph input or output as the model declares it. */
export interface ValueInfo {
  readonly name: string;
  /** undefined = an element type that this package does not feed. */
  readonly type: ElementType | undefined;
  /** -1 = any. */
  readonly shape: readonly number[];
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
  bfloat16: 16,
};
const ELEMENT_TYPES = new Map<number, ElementType>(
  Object.entries(ELEMENT_CODES).map(([type, code]) => [code, type as ElementType]),
);

const OPTIMIZATION_LEVELS = { disabled: 0, basic: 1, extended: 2, all: 99 } as const;
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
      loadLibrary().status.CreateTensorWithDataAsOrtValue,
      hostMemoryInfo(),
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
    for (const value of this.#values) loadLibrary().release.ReleaseValue(value);
    this.#values.length = 0;
    this.#memory.length = 0;
  }
}

/** A tensor in the memory of an execution provider. */
export class NativeDeviceValue {
  readonly type: ElementType;
  readonly shape: readonly number[];
  #pointer: bigint | undefined;

  /** Takes over an OrtValue; its type and shape are read from it. */
  constructor(pointer: bigint) {
    const { status, release } = loadLibrary();
    this.#pointer = pointer;
    const tensorInfo = output(status.GetTensorTypeAndShape, pointer);
    try {
      const { type, shape } = describeTensor(tensorInfo);
      if (type === undefined) throw new Error("ONNX Runtime returned a tensor of a type that is not supported");
      this.type = type;
      this.shape = shape;
    } catch (error) {
      release.ReleaseValue(pointer);
      throw error;
    } finally {
      release.ReleaseTensorTypeAndShapeInfo(tensorInfo);
    }
  }

  static pointer(value: NativeDeviceValue): bigint {
    if (value.#pointer === undefined) throw new Error("The device tensor has been released");
    return value.#pointer;
  }

  get released(): boolean {
    return this.#pointer === undefined;
  }

  release(): void {
    if (this.#pointer !== undefined) loadLibrary().release.ReleaseValue(this.#pointer);
    this.#pointer = undefined;
  }
}

function describeTensor(tensorInfo: bigint): { type: ElementType | undefined; shape: number[] } {
  const { status } = loadLibrary();
  const shape = new BigInt64Array(Number(output(status.GetDimensionsCount, tensorInfo)));
  if (shape.length > 0) check(status.GetDimensions(tensorInfo, addressOf(shape), shape.length));
  // An enum is four bytes; the upper half of the cell was cleared before the call.
  const type = ELEMENT_TYPES.get(Number(output(status.GetTensorElementType, tensorInfo)));
  return { type, shape: Array.from(shape, Number) };
}

/** What a run binds: memory of the host, a tensor on the device or, for outputs, "device": ONNX Runtime allocates there. */
export type NativeFeed = Tensor | NativeDeviceValue;
export type NativeFetch = NativeFeed | "device";

/** A loaded model. `release` must come after all its bindings' and outside of runs. */
export class NativeSession {
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly #pointer: bigint;
  readonly #initializers = new TensorValues();
  readonly #provider: ExecutionProvider;

  constructor(modelBytes: Uint8Array, options: SessionOptions & { readonly threads: number }) {
    const { pointer: env } = openEnvironment(options.threads);
    const { status, release } = loadLibrary();
    this.#provider = options.provider ?? "cpu";
    const sessionOptions = output(status.CreateSessionOptions);
    try {
      if (options.parallelism === "caller") check(status.SetIntraOpNumThreads(sessionOptions, 1));
      else check(status.DisablePerSessionThreads(sessionOptions));
      if (options.memoryPlan === false) check(status.DisableMemPattern(sessionOptions));
      if (options.sharedArena) check(status.AddSessionConfigEntry(sessionOptions, "session.use_env_allocators", "1"));
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
      appendExecutionProvider(sessionOptions, this.#provider);
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
    const { AddExternalInitializers } = loadLibrary().status;
    check(AddExternalInitializers(sessionOptions, addressOf(namePointers), addressOf(valuePointers), names.length));
  }

  #describe(count: NativeFunction, name: NativeFunction, type: NativeFunction): ValueInfo[] {
    const { allocator, status, release } = loadLibrary();
    return Array.from({ length: Number(output(count, this.#pointer)) }, (_, index) => {
      const text = output(name, this.#pointer, index, allocator);
      const valueName = koffi.decode.string(text);
      check(status.AllocatorFree(allocator, text));
      const typeInfo = output(type, this.#pointer, index);
      try {
        const tensorInfo = output(status.CastTypeInfoToTensorInfo, typeInfo);
        if (tensorInfo === 0n) return { name: valueName, type: undefined, shape: [] };
        return { name: valueName, ...describeTensor(tensorInfo) };
      } finally {
        release.ReleaseTypeInfo(typeInfo);
      }
    });
  }

  bind(feeds: ReadonlyMap<string, NativeFeed>, fetches: ReadonlyMap<string, NativeFetch>): NativeBinding {
    return new NativeBinding(this.#pointer, this.#provider, feeds, fetches);
  }

  /** Ends profiling and returns the path of the file that was written. */
  endProfiling(): string {
    const { allocator, status } = loadLibrary();
    const text = output(status.SessionEndProfiling, this.#pointer, allocator);
    const path = koffi.decode.string(text);
    check(status.AllocatorFree(allocator, text));
    return path;
  }

  release(): void {
    loadLibrary().release.ReleaseSession(this.#pointer);
    this.#initializers.release();
  }
}

/** A session with its inputs and outputs tied to memory of the caller or of the device. One run at a time. */
export class NativeBinding {
  readonly #session: bigint;
  readonly #binding: bigint;
  readonly #runOptions: bigint;
  readonly #values = new TensorValues();
  readonly #fetches: ReadonlyMap<string, NativeFetch>;

  constructor(
    session: bigint,
    provider: ExecutionProvider,
    feeds: ReadonlyMap<string, NativeFeed>,
    fetches: ReadonlyMap<string, NativeFetch>,
  ) {
    const { status } = loadLibrary();
    this.#session = session;
    this.#fetches = fetches;
    this.#binding = output(status.CreateIoBinding, session);
    this.#runOptions = output(status.CreateRunOptions);
    try {
      // A terminated run would otherwise print an error; it is reported as an exception anyway.
      check(status.RunOptionsSetRunLogSeverityLevel(this.#runOptions, LOG_LEVEL_ERROR + 1));
      for (const [name, feed] of feeds) check(status.BindInput(this.#binding, name, this.#value(feed)));
      for (const [name, fetch] of fetches) {
        if (fetch === "device") check(status.BindOutputToDevice(this.#binding, name, deviceMemoryInfo(provider)));
        else check(status.BindOutput(this.#binding, name, this.#value(fetch)));
      }
    } catch (error) {
      this.release();
      throw error;
    }
  }

  #value(tensor: NativeFeed): bigint {
    return tensor instanceof NativeDeviceValue ? NativeDeviceValue.pointer(tensor) : this.#values.create(tensor);
  }

  /** After a run: the outputs that were left on the device, by name. They outlive the binding. */
  deviceOutputs(): Map<string, NativeDeviceValue> {
    const { allocator, release, status } = loadLibrary();
    const list = new BigUint64Array(1);
    const count = new BigUint64Array(1);
    check(status.GetBoundOutputValues(this.#binding, allocator, addressOf(list), addressOf(count)));
    const pointers = (koffi.decode(list[0]!, "uint64_t", Number(count[0]!)) as (number | bigint)[]).map(BigInt);
    check(status.AllocatorFree(allocator, list[0]!));
    const outputs = new Map<string, NativeDeviceValue>();
    // They come in the order in which they were bound.
    for (const [index, [name, fetch]] of [...this.#fetches].entries()) {
      if (fetch === "device") outputs.set(name, new NativeDeviceValue(pointers[index]!));
      else release.ReleaseValue(pointers[index]!);
    }
    return outputs;
  }

  runSync(): void {
    check(loadLibrary().status.RunWithBinding(this.#session, this.#runOptions, this.#binding));
  }

  /** Runs on a thread of libuv's pool; `done` is called on the event loop. */
  runAsync(done: (error: Error | null) => void): void {
    loadLibrary().status.RunWithBinding.async(this.#session, this.#runOptions, this.#binding, (error, status) => {
      done(error ?? (status === null ? null : takeError(status)));
    });
  }

  /** Makes the current run fail at its next node (true), or lets the next run go through again (false). */
  setTerminate(terminate: boolean): void {
    const { status } = loadLibrary();
    check((terminate ? status.RunOptionsSetTerminate : status.RunOptionsUnsetTerminate)(this.#runOptions));
  }

  release(): void {
    const { release } = loadLibrary();
    release.ReleaseIoBinding(this.#binding);
    release.ReleaseRunOptions(this.#runOptions);
    this.#values.release();
  }
}
