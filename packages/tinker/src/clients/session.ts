import type { Dialect } from "../dialect/dialect.js";
import type { SamplerGuard } from "../dialect/sampler-guard.js";
import { ClientClosedError } from "../errors.js";
import type { FuturePoller } from "../futures/future-poller.js";
import type { AdamParams } from "../protocol/training.js";
import { eitherSignal, onAbort } from "../transport/abort.js";
import type { Semaphore } from "../transport/semaphore.js";
import type { Transport } from "../transport/transport.js";
import type { ClientConfig } from "./config.js";

/** What the clients of one session share. */
export interface Session {
  readonly id: string;
  readonly transport: Transport;
  readonly futures: FuturePoller;
  readonly config: ClientConfig;
  readonly guard: SamplerGuard;
  readonly samplingSlots: Semaphore;
  readonly samplingBytes: Semaphore;
  readonly trainingBytes: Semaphore;
  readonly samplingPause: SamplingPause;
  readonly codec: "protobuf" | "json";
  /** Checkpoints that this session has saved. */
  readonly savedPaths: Set<string>;
  readonly serverOptimizer: Omit<AdamParams, "learningRate">;
  /** Aborted when the client closes. */
  readonly signal: AbortSignal;
  dialect(): Dialect;
  nextModelSeqId(): number;
  nextSamplingSessionSeqId(): number;
}

/** The pause that every sampling request takes after one of them was told that there are too many. */
export class SamplingPause {
  private untilMs = 0;

  extend(milliseconds: number): void {
    this.untilMs = Math.max(this.untilMs, performance.now() + milliseconds);
  }

  get leftMs(): number {
    return Math.max(0, this.untilMs - performance.now());
  }
}

/** The session's signal and the caller's as one. */
export function joinSignals(session: Session, signal: AbortSignal | undefined): AbortSignal {
  return signal === undefined ? session.signal : eitherSignal(session.signal, signal);
}

export function checkOpen(session: Session): void {
  if (session.signal.aborted) throw new ClientClosedError("the service client is closed");
}

/** Rejects as soon as the signal aborts; the work itself goes on. */
export async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  // Its failure is of no interest to somebody who has stopped waiting.
  work.catch(() => undefined);
  signal.throwIfAborted();
  let stopListening = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    stopListening = onAbort(signal, () => reject(signal.reason));
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    stopListening();
  }
}
