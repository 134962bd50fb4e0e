import { CallQueue } from "./call-queue.js";
import { validateForwardBackwardOptions, validateSequences } from "./training/validate.js";
import type { ForwardBackwardOptions, FrozenModel, ModelInfo, TokenLogprobs, TokenSequence } from "./types.js";

/** What evaluates the copied weights. One call at a time. */
interface Evaluator {
  logprobs(sequences: readonly TokenSequence[], options: ForwardBackwardOptions): Promise<readonly TokenLogprobs[]>;
  close(): void | Promise<void>;
}

/** A copy of a model that can only be evaluated. */
export class FrozenCopy implements FrozenModel {
  private readonly queue = new CallQueue();
  private closed = false;

  constructor(
    private readonly evaluator: Evaluator,
    private readonly info: ModelInfo,
  ) {}

  async logprobs<S extends TokenSequence>(
    sequences: readonly S[],
    options: ForwardBackwardOptions = {},
  ): Promise<readonly TokenLogprobs[]> {
    if (this.closed) throw new Error("The frozen model is closed.");
    validateForwardBackwardOptions(options);
    validateSequences(sequences, this.info);
    return this.queue.run(() => this.evaluator.logprobs(sequences, options));
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await this.queue.run(async () => this.evaluator.close());
  }
}
