import type { LossCall } from "../dialect/loss-rewrite.js";
import { UnconfirmedRequestError } from "../errors.js";
import type { ForwardBackwardOutput } from "../protocol/training.js";
import { chunkData, datumBytes, mergeOutputs } from "./chunking.js";
import { type Pending, pending } from "./pending.js";
import type { Session } from "./session.js";
import type { Turn } from "./submission-queue.js";
import {
  forwardBackwardCall,
  readForwardBackwardOutput,
  retrieveResult,
  type Submitted,
  submitPromise,
} from "./training-requests.js";

export interface WaitLimits {
  readonly signal: AbortSignal;
  readonly timeoutMs?: number;
}

/** Sends forward and forward_backward passes of one model: cut into requests, posted in order, answers put together. */
export class PassSender {
  private readonly unfinishedLosses = new Map<Promise<unknown>, string>();

  constructor(
    private readonly session: Session,
    private readonly modelId: string,
  ) {}

  /** Sends a loss in as many requests as the limits ask for; in flight together, answers merged in order. */
  async send(
    turn: Turn,
    call: LossCall,
    forwardOnly: boolean,
    wait: WaitLimits,
  ): Promise<Pending<ForwardBackwardOutput>> {
    const { session } = this;
    const dialect = session.dialect();
    const chunks = chunkData(call.data, session.codec, {
      maxDatums: session.config.maxChunkDatums,
      maxBytes: session.config.maxChunkBytes,
    });
    await this.awaitOtherLosses(`${call.lossFn} ${JSON.stringify(call.lossFnConfig ?? {})}`, forwardOnly);
    const submitted = await turn.send(chunks.length, async (firstSeqId) => {
      const post = async (index: number): Promise<Submitted> => {
        const data = chunks[index]!;
        const bytes = data.reduce((total, datum) => total + datumBytes(datum, session.codec), 0);
        const release = await session.trainingBytes.acquire(bytes, session.signal);
        try {
          const { path, call: options } = forwardBackwardCall(session, {
            modelId: this.modelId,
            seqId: firstSeqId + index,
            data,
            lossFn: call.lossFn,
            forwardOnly,
            ...(call.lossFnConfig === undefined ? {} : { lossFnConfig: call.lossFnConfig }),
          });
          return await submitPromise(session, path, options, dialect.repeatsAreSafe || forwardOnly);
        } finally {
          release();
        }
      };
      return postChunks(chunks.length, session.config.parallelChunks && dialect.repeatsAreSafe, post);
    });
    const parts = submitted.map((promise, index) => {
      const read = (payload: Parameters<typeof readForwardBackwardOutput>[0]) =>
        readForwardBackwardOutput(payload, chunks[index]!.length);
      return retrieveResult(session, forwardOnly ? "Forward" : "ForwardBackward", promise, read, wait);
    });
    const result = Promise.all(parts).then(mergeOutputs);
    if (!forwardOnly) this.rememberLoss(result, `${call.lossFn} ${JSON.stringify(call.lossFnConfig ?? {})}`);
    return pending(result);
  }

  /** Where the server merges queued calls under the first one's loss, a different loss waits until those are done. */
  private async awaitOtherLosses(loss: string, forwardOnly: boolean): Promise<void> {
    if (forwardOnly || !this.session.dialect().mergesQueuedLosses) return;
    const others = [...this.unfinishedLosses].filter(([, other]) => other !== loss).map(([result]) => result);
    await Promise.allSettled(others);
  }

  private rememberLoss(result: Promise<unknown>, loss: string): void {
    this.unfinishedLosses.set(result, loss);
    const forget = (): void => {
      this.unfinishedLosses.delete(result);
    };
    result.then(forget, forget);
  }
}

/**
 * Posts the chunks of one call. In parallel, the first goes last: a server that runs requests by sequence id then starts
 * with all of them at hand.
 */
async function postChunks(
  count: number,
  parallel: boolean,
  post: (index: number) => Promise<Submitted>,
): Promise<Submitted[]> {
  const submitted = new Array<Submitted>(count);
  if (parallel && count > 1) {
    const rest = Array.from({ length: count - 1 }, (_, i) => i + 1);
    const outcomes = await Promise.allSettled(
      rest.map(async (index) => {
        submitted[index] = await post(index);
      }),
    );
    for (const outcome of outcomes) if (outcome.status === "rejected") throw partial(outcome.reason, count);
    submitted[0] = await post(0).catch((error: unknown) => {
      throw partial(error, count);
    });
    return submitted;
  }
  for (let index = 0; index < count; index++) {
    submitted[index] = await post(index).catch((error: unknown) => {
      throw index === 0 ? error : partial(error, count);
    });
  }
  return submitted;
}

/** Some chunks are at the server and some are not: neither a repetition nor the next request would be right. */
function partial(cause: unknown, count: number): UnconfirmedRequestError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new UnconfirmedRequestError(
    `only a part of the ${count} requests of one forward_backward call was taken on: ${reason}`,
    { cause },
  );
}
