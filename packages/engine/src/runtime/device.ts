import { availableParallelism } from "node:os";
import { throwIfAborted } from "./abort.js";
import { type NativeDeviceValue, type NativeFeed, type NativeFetch, NativeSession } from "./native.js";
import { installExitHandler, runInBackground } from "./runs.js";
import type { DeviceProvider, RunOptions, SessionOptions, Tensor } from "./types.js";
import { checkTensors } from "./validate.js";

/**
 * A tensor in the memory of a device. It never changes: runs make new ones. Whoever received it releases it, once, and
 * may do so as soon as the runs that read it have been awaited.
 */
export interface DeviceTensor {
  readonly type: Tensor["type"];
  readonly shape: readonly number[];
  release(): void;
}

export type DeviceSessionOptions = Pick<SessionOptions, "name" | "profilePrefix" | "graphOptimization" | "config">;

/**
 * What becomes of an output: "device" leaves it there as a new tensor, an array of the host receives a copy, and a
 * device tensor that is also an input is extended in place, by operations that can (a KV cache).
 */
export type DeviceFetch = Tensor | DeviceTensor | "device";

/**
 * The sessions and tensors of one GPU. The providers behind it are not safe for concurrent use, and every session of a
 * provider shares one device. So the whole process works on it in one line: a run, an upload or the making of a session
 * starts when the one before has ended, and what is released during a run goes when the run ends.
 */
export class Device {
  readonly provider: DeviceProvider;
  readonly #sessions = new Set<DeviceSession>();
  #closed = false;

  constructor(provider: DeviceProvider) {
    this.provider = provider;
    installExitHandler();
  }

  /**
   * Loads a model on the device.
   * @throws OnnxRuntimeError if the model is not valid or there is no such device.
   */
  createSession(model: Uint8Array, options: DeviceSessionOptions = {}): Promise<DeviceSession> {
    return line.enter(async () => {
      if (this.#closed) throw new Error(`The ${this.provider} device is closed`);
      const native = new NativeSession(model, {
        // Shapes vary, and a device's allocator has buffers to reuse.
        memoryPlan: false,
        ...options,
        threads: availableParallelism(),
        provider: this.provider,
      });
      const session = new DeviceSession(native, options.name ?? "model", (closed) => this.#sessions.delete(closed));
      this.#sessions.add(session);
      return session;
    });
  }

  /** Closes all sessions. Tensors must have been released: their memory belongs to the sessions' allocators. */
  close(): void {
    this.#closed = true;
    for (const session of [...this.#sessions]) session.close();
  }
}

/** A model on a device. Inputs may come from the host or be on the device already. */
export class DeviceSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  readonly #native: NativeSession;
  readonly #name: string;
  readonly #onClose: (session: DeviceSession) => void;
  #closed = false;

  /** Use `Device.createSession`. */
  constructor(native: NativeSession, name: string, onClose: (session: DeviceSession) => void) {
    this.#native = native;
    this.#name = name;
    this.#onClose = onClose;
    this.inputNames = native.inputs.map((info) => info.name);
    this.outputNames = native.outputs.map((info) => info.name);
  }

  /** @returns the outputs that were fetched as "device", by name. */
  run<F extends Readonly<Record<string, DeviceFetch>>>(
    feeds: Readonly<Record<string, Tensor | DeviceTensor>>,
    fetches: F,
    { signal }: RunOptions = {},
  ): Promise<Record<DeviceOutputs<F>, DeviceTensor>> {
    return line.enter(async () => {
      throwIfAborted(signal);
      if (this.#closed) throw new Error(`${this.#name}: the session is closed`);
      const inputs = new Map<string, NativeFeed>();
      for (const [name, feed] of checkTensors(this.#name, "input", this.#native.inputs, feeds))
        inputs.set(name, toNative(feed));
      const binding = this.#native.bind(inputs, this.#checkFetches(fetches));
      try {
        await runInBackground(binding, signal);
        const outputs = [...binding.deviceOutputs()].map(([name, value]) => [name, new OnDevice(value)]);
        return Object.fromEntries(outputs) as Record<DeviceOutputs<F>, DeviceTensor>;
      } finally {
        binding.release();
      }
    });
  }

  #checkFetches(fetches: Readonly<Record<string, DeviceFetch>>): Map<string, NativeFetch> {
    const checked = new Map<string, NativeFetch>();
    const placed: Record<string, Tensor | DeviceTensor> = {};
    for (const [name, fetch] of Object.entries(fetches)) {
      if (fetch !== "device") placed[name] = fetch;
      else if (this.outputNames.includes(name)) checked.set(name, fetch);
      else throw new Error(`${this.#name}: there is no output "${name}"; the model has ${this.outputNames.join(", ")}`);
    }
    if (checked.size > 0 && Object.keys(placed).length === 0) return checked;
    for (const [name, fetch] of checkTensors(this.#name, "output", this.#native.outputs, placed))
      checked.set(name, toNative(fetch));
    return checked;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#onClose(this);
    line.whenIdle(() => this.#native.release());
  }
}

type DeviceOutputs<F> = { [K in keyof F]: F[K] extends "device" ? K : never }[keyof F] & string;

class OnDevice implements DeviceTensor {
  readonly #value: NativeDeviceValue;
  #released = false;

  constructor(value: NativeDeviceValue) {
    this.#value = value;
  }

  get type(): Tensor["type"] {
    return this.#value.type;
  }

  get shape(): readonly number[] {
    return this.#value.shape;
  }

  static native(tensor: OnDevice): NativeDeviceValue {
    if (tensor.#released) throw new Error("The device tensor has been released");
    return tensor.#value;
  }

  release(): void {
    if (this.#released) throw new Error("The device tensor has been released already");
    this.#released = true;
    line.whenIdle(() => this.#value.release());
  }
}

function toNative(tensor: Tensor | DeviceTensor): NativeFeed {
  return tensor instanceof OnDevice ? OnDevice.native(tensor) : (tensor as Tensor);
}

/** One after another, in the order of arrival. */
class Line {
  #tail: Promise<unknown> = Promise.resolve();
  #busy = 0;
  #deferred: (() => void)[] = [];

  enter<T>(work: () => Promise<T>): Promise<T> {
    this.#busy++;
    const result = this.#tail.then(work);
    this.#tail = result.then(
      () => this.#leave(),
      () => this.#leave(),
    );
    return result;
  }

  /** Does it now, or between two pieces of work. */
  whenIdle(task: () => void): void {
    if (this.#busy === 0) task();
    else this.#deferred.push(task);
  }

  #leave(): void {
    this.#busy--;
    const tasks = this.#deferred;
    this.#deferred = [];
    for (const task of tasks) task();
  }
}

const line = new Line();
