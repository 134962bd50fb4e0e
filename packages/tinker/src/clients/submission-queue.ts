import { mayHaveActed, PrecedingRequestError, TinkerError, UnconfirmedRequestError } from "../errors.js";

/** What a queued request does to the model; decides what may follow what. */
export type RequestKind = "gradient" | "step" | "other";

interface Entry {
  readonly kind: RequestKind;
  /** Datums that add gradients; 0 for other requests. */
  readonly datums: number;
  readonly epoch: number;
  aborted: boolean;
}

/** Given to the code that submits a request in its turn. */
export interface Turn {
  /**
   * Sends requests under the next `count` sequence ids. The ids count as used once `send` resolves; a request that the
   * server surely refused leaves them for the next one, so that the sequence stays contiguous.
   */
  readonly send: <T>(count: number, send: (firstSeqId: number) => Promise<T>) => Promise<T>;
  /** Datums of this and the directly following gradient requests up to the next optimizer step, as far as they are queued. */
  readonly queuedGradientDatums: () => number;
}

/**
 * The order of one model's training requests: each is submitted when the one before it was taken on, in the order of the
 * calls. A request whose fate is unknown breaks the queue for good; after a refused or aborted one, those that were
 * already waiting behind it are not sent, because they were meant to build on it.
 */
export class SubmissionQueue {
  private nextSeqId = 1;
  private tail: Promise<void> = Promise.resolve();
  private readonly entries: Entry[] = [];
  private epoch = 0;
  private failure: unknown;
  private broken: Error | undefined;

  constructor(private readonly modelId: () => string) {}

  /** Refuses everything from now on. */
  break(reason: Error): void {
    this.broken ??= reason;
  }

  /**
   * Runs `submit` in its turn. An abort takes effect only before the turn: a request under way is neither cut off nor
   * left undecided. Rejects with the signal's reason, {@link PrecedingRequestError}, or what `submit` throws.
   */
  enqueue<T>(kind: RequestKind, datums: number, submit: (turn: Turn) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const entry: Entry = { kind, datums, epoch: this.epoch, aborted: false };
    this.entries.push(entry);
    const result = this.tail.then(async () => {
      try {
        this.checkMayRun(entry, signal);
        return await submit({
          send: (count, send) => this.send(count, send),
          queuedGradientDatums: () => this.queuedGradientDatums(entry),
        });
      } catch (error) {
        // Not for the ones that were held back themselves: the first failure is the one to report.
        if (!(error instanceof PrecedingRequestError)) {
          this.epoch++;
          this.failure = error;
        }
        throw error;
      } finally {
        this.entries.splice(this.entries.indexOf(entry), 1);
      }
    });
    this.tail = result.then(
      () => undefined,
      () => undefined,
    );
    return result;
  }

  private checkMayRun(entry: Entry, signal: AbortSignal | undefined): void {
    if (this.broken !== undefined) throw this.broken;
    if (entry.epoch !== this.epoch) {
      const reason = this.failure instanceof Error ? this.failure.message : String(this.failure);
      throw new PrecedingRequestError(`not sent, because a request queued before it did not succeed: ${reason}`, {
        cause: this.failure,
      });
    }
    signal?.throwIfAborted();
  }

  private async send<T>(count: number, send: (firstSeqId: number) => Promise<T>): Promise<T> {
    try {
      const result = await send(this.nextSeqId);
      this.nextSeqId += count;
      return result;
    } catch (error) {
      if (mayHaveActed(error)) {
        const text = `the state of model ${this.modelId()} is not known: ${error instanceof Error ? error.message : String(error)}`;
        this.broken = error instanceof UnconfirmedRequestError ? error : new TinkerError(text, { cause: error });
      }
      throw error;
    }
  }

  private queuedGradientDatums(entry: Entry): number {
    let datums = 0;
    for (const other of this.entries.slice(this.entries.indexOf(entry))) {
      if (other.kind === "step") break;
      if (other.epoch === this.epoch) datums += other.datums;
    }
    return datums;
  }
}
