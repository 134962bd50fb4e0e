import { availableParallelism } from "node:os";
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from "node:worker_threads";
import { resolveOptions, type VerifyOptions } from "../options.js";
import type { Verdict } from "../verify.js";
import type { Task, WorkerMessage } from "./protocol.js";

export interface VerifierPoolOptions {
  /** Threads. Default: one less than the processors, at least one, at most four. */
  readonly workers?: number;
  /** Time one verification may take once a worker has begun it, in milliseconds. Default 5000. */
  readonly timeoutMs?: number;
  /** Heap of one worker in MiB; a worker that exceeds it is replaced. Default 256. */
  readonly memoryLimitMiB?: number;
  /** Module the workers run, for tests; it must speak the pool's protocol. */
  readonly workerUrl?: URL;
}

/** A verdict with the time the worker spent on it. */
export interface PoolVerdict extends Verdict {
  readonly elapsedMs: number;
}

interface Job {
  readonly task: Task;
  readonly resolve: (verdict: PoolVerdict) => void;
  readonly reject: (error: Error) => void;
}

interface Slot {
  readonly worker: Worker;
  readonly port: MessagePort;
  ready: boolean;
  job: Job | null;
  timer: NodeJS.Timeout | null;
}

/** A worker that cannot even load is not started for ever. */
const MAX_FAILED_STARTS = 3;

/**
 * Verifies in worker threads that can be killed. A task's timeout begins when a worker starts on it,
 * not when it is queued; a worker that runs over is terminated and replaced, and the task resolves
 * with the outcome "timeout". Idle workers do not keep the process alive. Close it when done.
 */
export class VerifierPool {
  readonly #timeoutMs: number;
  readonly #memoryLimitMiB: number;
  readonly #workerUrl: URL;
  readonly #size: number;
  readonly #slots = new Set<Slot>();
  readonly #queue: Job[] = [];
  #next = 0;
  #failedStarts = 0;
  #closed = false;

  /** Throws RangeError for sizes or times that are not positive. */
  constructor(options: VerifierPoolOptions = {}) {
    this.#size = options.workers ?? Math.min(4, Math.max(1, availableParallelism() - 1));
    this.#timeoutMs = options.timeoutMs ?? 5000;
    this.#memoryLimitMiB = options.memoryLimitMiB ?? 256;
    this.#workerUrl = options.workerUrl ?? defaultWorkerUrl();
    if (!Number.isInteger(this.#size) || this.#size < 1)
      throw new RangeError(`VerifierPool: workers must be a positive integer, got ${this.#size}`);
    if (!(this.#timeoutMs > 0))
      throw new RangeError(`VerifierPool: timeoutMs must be positive, got ${this.#timeoutMs}`);
    if (!(this.#memoryLimitMiB > 0))
      throw new RangeError(`VerifierPool: memoryLimitMiB must be positive, got ${this.#memoryLimitMiB}`);
  }

  /** Tasks waiting for a worker. */
  get queued(): number {
    return this.#queue.length;
  }

  /**
   * Verifies one prediction. Resolves also for timeouts and crashed workers (outcome "timeout" or
   * "error"); rejects when the pool is closed, cannot start its workers, or the options are invalid.
   */
  async verify(gold: string, prediction: string, options: VerifyOptions = {}): Promise<PoolVerdict> {
    resolveOptions(options);
    if (this.#closed) throw new Error("VerifierPool: the pool is closed");
    return new Promise<PoolVerdict>((resolve, reject) => {
      this.#queue.push({ task: { id: this.#next++, gold, prediction, options }, resolve, reject });
      this.#dispatch();
    });
  }

  /** Terminates the workers; tasks not finished are rejected. */
  async close(): Promise<void> {
    this.#closed = true;
    const error = new Error("VerifierPool: the pool was closed before the task finished");
    for (const job of this.#queue.splice(0)) job.reject(error);
    const slots = [...this.#slots];
    this.#slots.clear();
    await Promise.all(
      slots.map(async (slot) => {
        this.#release(slot)?.reject(error);
        await slot.worker.terminate();
      }),
    );
  }

  #dispatch(): void {
    while (this.#queue.length > 0) {
      const idle = [...this.#slots].find((slot) => slot.ready && slot.job === null);
      if (idle === undefined) {
        const starting = [...this.#slots].filter((slot) => !slot.ready).length;
        if (this.#slots.size < this.#size && starting < this.#queue.length) this.#start();
        else return;
      } else {
        const job = this.#queue.shift()!;
        idle.job = job;
        idle.worker.ref();
        idle.port.ref();
        idle.port.postMessage(job.task);
      }
    }
  }

  #start(): void {
    const { port1, port2 } = new MessageChannel();
    const worker = new Worker(this.#workerUrl, {
      workerData: { port: port2 },
      transferList: [port2],
      resourceLimits: { maxOldGenerationSizeMb: this.#memoryLimitMiB },
    });
    const slot: Slot = { worker, port: port1, ready: false, job: null, timer: null };
    this.#slots.add(slot);
    port1.on("message", (message: WorkerMessage) => this.#receive(slot, message));
    worker.on("error", (error) => this.#lost(slot, error.message));
    worker.on("exit", (code) => this.#lost(slot, `the worker exited with code ${code}`));
  }

  #receive(slot: Slot, message: WorkerMessage): void {
    switch (message.type) {
      case "ready":
        slot.ready = true;
        this.#failedStarts = 0;
        slot.worker.unref();
        slot.port.unref();
        this.#dispatch();
        break;
      case "started":
        if (slot.job?.task.id === message.id) slot.timer = setTimeout(() => this.#expire(slot), this.#timeoutMs);
        break;
      case "finished":
        if (slot.job?.task.id !== message.id) return;
        this.#release(slot)?.resolve({ ...message.verdict, elapsedMs: message.elapsedMs });
        slot.worker.unref();
        slot.port.unref();
        this.#dispatch();
        break;
      default:
        message satisfies never;
    }
  }

  #expire(slot: Slot): void {
    // When this thread was busy the answer may already lie in the port.
    const waiting = receiveMessageOnPort(slot.port) as { message: WorkerMessage } | undefined;
    if (waiting !== undefined) {
      this.#receive(slot, waiting.message);
      if (slot.job === null) return;
    }
    const reason = `took longer than ${this.#timeoutMs} ms`;
    this.#discard(slot)?.resolve({ ...failed("timeout", reason), elapsedMs: this.#timeoutMs });
    void slot.worker.terminate();
    this.#dispatch();
  }

  /** A worker that ended by itself, by a crash or for want of memory. */
  #lost(slot: Slot, reason: string): void {
    if (!this.#slots.has(slot)) return;
    const wasReady = slot.ready;
    this.#discard(slot)?.resolve({ ...failed("error", reason), elapsedMs: 0 });
    void slot.worker.terminate();
    if (!wasReady && ++this.#failedStarts >= MAX_FAILED_STARTS) {
      const error = new Error(`VerifierPool: the workers do not start (${this.#workerUrl.href}): ${reason}`);
      for (const job of this.#queue.splice(0)) job.reject(error);
      return;
    }
    this.#dispatch();
  }

  #discard(slot: Slot): Job | null {
    this.#slots.delete(slot);
    const job = this.#release(slot);
    slot.port.close();
    return job;
  }

  #release(slot: Slot): Job | null {
    const { job, timer } = slot;
    if (timer !== null) clearTimeout(timer);
    slot.timer = null;
    slot.job = null;
    return job;
  }
}

function failed(outcome: "timeout" | "error", reason: string): Verdict {
  return { correct: false, outcome, reason, gold: null, prediction: null };
}

/** Beside this module when compiled; run from source, the compiled worker, since a thread loads no TypeScript. */
function defaultWorkerUrl(): URL {
  return new URL(import.meta.url.endsWith(".ts") ? "../../dist/pool/worker.js" : "./worker.js", import.meta.url);
}
