import { availableParallelism } from "node:os";
import { AbortError, throwIfAborted } from "./abort.js";
import { type NativeBinding, NativeSession } from "./native.js";
import type { BoundRun, RunOptions, Session, SessionOptions, Tensor } from "./types.js";
import { checkTensors } from "./validate.js";

/** Runs at a time. More would only queue: libuv's pool has four threads, and file access waits behind the runs. */
const MAX_CONCURRENT_RUNS = 4;

let runningCount = 0;
const waiting: (() => void)[] = [];
const runningBindings = new Set<NativeBinding>();

/**
 * Loads a model into ONNX Runtime. Blocks while the graph is optimised (milliseconds to a second).
 * @param modelBytes A serialised ONNX ModelProto. It is not needed after the call.
 * @throws OnnxRuntimeError if the model is not valid, Error if the platform is not supported.
 */
export function createSession(modelBytes: Uint8Array, options: SessionOptions = {}): Session {
  const threads = options.threads ?? availableParallelism();
  if (!Number.isSafeInteger(threads) || threads < 1) {
    throw new RangeError(`threads must be a whole number of at least 1, not ${threads}`);
  }
  installExitHandler();
  return new OnnxSession(new NativeSession(modelBytes, { ...options, threads }), options.name ?? "model");
}

let exitHandlerInstalled = false;

/**
 * A run in progress when the process exits would use memory of the library while it is torn down. Terminated runs end
 * at their next node; the event loop is gone by then, so all that is left is to wait for a moment.
 */
function installExitHandler(): void {
  if (exitHandlerInstalled) return;
  exitHandlerInstalled = true;
  process.once("exit", () => {
    if (runningBindings.size === 0) return;
    for (const binding of runningBindings) binding.setTerminate(true);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 250);
  });
}

class OnnxSession implements Session {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  readonly #native: NativeSession;
  readonly #name: string;
  readonly #bindings = new Set<OnnxBoundRun>();
  #closed = false;
  #released = false;

  constructor(native: NativeSession, name: string) {
    this.#native = native;
    this.#name = name;
    this.inputNames = native.inputs.map((info) => info.name);
    this.outputNames = native.outputs.map((info) => info.name);
  }

  bind(feeds: Readonly<Record<string, Tensor>>, fetches: Readonly<Record<string, Tensor>>): BoundRun {
    this.#assertOpen();
    const inputs = checkTensors(this.#name, "input", this.#native.inputs, feeds);
    const outputs = checkTensors(this.#name, "output", this.#native.outputs, fetches);
    const bound = new OnnxBoundRun(this.#native.bind(inputs, outputs), this.#name, (released) => {
      this.#bindings.delete(released);
      this.#releaseIfUnused();
    });
    this.#bindings.add(bound);
    return bound;
  }

  async run(
    feeds: Readonly<Record<string, Tensor>>,
    fetches: Readonly<Record<string, Tensor>>,
    options?: RunOptions,
  ): Promise<void> {
    const bound = this.bind(feeds, fetches);
    try {
      await bound.run(options);
    } finally {
      bound.close();
    }
  }

  endProfiling(): string {
    this.#assertOpen();
    return this.#native.endProfiling();
  }

  close(): void {
    this.#closed = true;
    for (const bound of [...this.#bindings]) bound.close();
    this.#releaseIfUnused();
  }

  #assertOpen(): void {
    if (this.#closed) throw new Error(`${this.#name}: the session is closed`);
  }

  #releaseIfUnused(): void {
    if (!this.#closed || this.#released || this.#bindings.size > 0) return;
    this.#released = true;
    this.#native.release();
  }
}

class OnnxBoundRun implements BoundRun {
  readonly #native: NativeBinding;
  readonly #name: string;
  readonly #onReleased: (bound: OnnxBoundRun) => void;
  #state: "idle" | "running" | "closing" | "closed" = "idle";

  constructor(native: NativeBinding, name: string, onReleased: (bound: OnnxBoundRun) => void) {
    this.#native = native;
    this.#name = name;
    this.#onReleased = onReleased;
  }

  async run(options: RunOptions = {}): Promise<void> {
    const { signal } = options;
    throwIfAborted(signal);
    this.#assertIdle();
    this.#state = "running";
    const onAbort = () => this.#native.setTerminate(true);
    try {
      await acquireSlot(signal);
      try {
        signal?.addEventListener("abort", onAbort, { once: true });
        await new Promise<void>((resolve, reject) => {
          runningBindings.add(this.#native);
          this.#native.runAsync((error) => (error === null ? resolve() : reject(error)));
        });
      } finally {
        runningBindings.delete(this.#native);
        signal?.removeEventListener("abort", onAbort);
        releaseSlot();
      }
    } catch (error) {
      if (!signal?.aborted || error instanceof AbortError) throw error;
      throw new AbortError(signal.reason);
    } finally {
      if (signal?.aborted) this.#native.setTerminate(false);
      this.#end();
    }
  }

  runSync(): void {
    this.#assertIdle();
    this.#native.runSync();
  }

  close(): void {
    if (this.#state === "running") this.#state = "closing";
    else if (this.#state === "idle") this.#release();
  }

  #assertIdle(): void {
    if (this.#state === "closed" || this.#state === "closing") throw new Error(`${this.#name}: the run is closed`);
    if (this.#state === "running") throw new Error(`${this.#name}: the run is in progress; bind another for more`);
  }

  #end(): void {
    if (this.#state === "closing") this.#release();
    else this.#state = "idle";
  }

  #release(): void {
    this.#state = "closed";
    this.#native.release();
    this.#onReleased(this);
  }
}

/** Waits until fewer than MAX_CONCURRENT_RUNS are in progress, in order of arrival. */
async function acquireSlot(signal: AbortSignal | undefined): Promise<void> {
  if (runningCount < MAX_CONCURRENT_RUNS) {
    runningCount++;
    return;
  }
  await new Promise<void>((resolve, reject) => {
    const enter = () => {
      signal?.removeEventListener("abort", leave);
      resolve();
    };
    const leave = () => {
      waiting.splice(waiting.indexOf(enter), 1);
      reject(new AbortError(signal?.reason));
    };
    waiting.push(enter);
    signal?.addEventListener("abort", leave, { once: true });
  });
}

/** Hands the slot to the next in line. */
function releaseSlot(): void {
  const next = waiting.shift();
  if (next === undefined) runningCount--;
  else next();
}
