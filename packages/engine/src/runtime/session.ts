import { availableParallelism } from "node:os";
import { throwIfAborted } from "./abort.js";
import { type NativeBinding, NativeSession } from "./native.js";
import { installExitHandler, runInBackground } from "./runs.js";
import type { BoundRun, RunOptions, Session, SessionOptions, Tensor } from "./types.js";
import { checkTensors } from "./validate.js";

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
    try {
      await runInBackground(this.#native, signal);
    } finally {
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
