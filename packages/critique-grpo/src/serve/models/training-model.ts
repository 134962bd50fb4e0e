/** One model in training: its requests run by their sequence ids, each once. */
import type { AdamParams, ForwardBackwardOutput, ForwardBackwardRequest } from "@critique-grpo/tinker";
import { BadRequest } from "../../http/errors.js";
import type { AdapterShape } from "./adapter-shape.js";
import { DatumBatch } from "./datum-sequences.js";
import type { LoadedModel } from "./loaded-model.js";

export interface TrainingModelFacts {
  readonly id: string;
  readonly sessionId: string;
  readonly baseModel: string;
  readonly userMetadata: Readonly<Record<string, unknown>>;
  /** Null: full fine-tuning. */
  readonly lora: AdapterShape | null;
}

export interface TrainingModelOptions {
  readonly microBatchTokens?: number | undefined;
  /** How long a request waits for the ones before it, before it is given up. */
  readonly gapTimeoutMs: number;
}

export class TrainingModel {
  lastRequestAt = new Date();
  /** Requests done so far. */
  done = 0;
  #next = 1;
  #highest = 0;
  #updates = 0;
  #closed = false;
  #tail: Promise<unknown> = Promise.resolve();
  readonly #arrivals = new Map<number, () => void>();

  constructor(
    readonly facts: TrainingModelFacts,
    public loaded: LoadedModel,
    private readonly options: TrainingModelOptions,
  ) {}

  /** The id that a request without one gets: it comes last. */
  claimSequenceId(given: number | undefined): number {
    this.lastRequestAt = new Date();
    const seqId = given ?? this.#highest + 1;
    this.#highest = Math.max(this.#highest, seqId);
    return seqId;
  }

  /** Runs the task when all requests of lower ids are done. Throws BadRequest if one of them never comes. */
  async inOrder<T>(seqId: number, task: () => Promise<T>): Promise<T> {
    if (seqId < this.#next && !(seqId === 0 && this.#next === 1))
      throw new BadRequest(`seq_id ${seqId} is past: ${this.#next} is next`);
    if (seqId > this.#next) await this.#turn(seqId);
    const result = this.#tail.then(async () => {
      if (this.#closed) throw new BadRequest(`Model ${this.facts.id} was unloaded`);
      return task();
    });
    this.#tail = result.catch(() => {});
    this.#next = seqId + 1;
    // The next one queues up behind this one.
    this.#arrivals.get(this.#next)?.();
    try {
      return await result;
    } finally {
      this.done++;
    }
  }

  async pass(request: ForwardBackwardRequest): Promise<ForwardBackwardOutput> {
    const batch = new DatumBatch(request, this.loaded.model.info);
    const { microBatchTokens } = this.options;
    return this.loaded.run(async () => {
      const { model } = this.loaded;
      if (request.forwardOnly) return batch.output(await model.logprobs(batch.sequences, { microBatchTokens }));
      return batch.outputOf(await model.forwardBackward(batch.sequences, batch.tokenLoss, { microBatchTokens }));
    });
  }

  async step(adam: AdamParams): Promise<Readonly<Record<string, number>>> {
    return this.loaded.run(async () => {
      const { gradNorm, skipped } = await this.loaded.model.optimizerStep({
        learningRate: adam.learningRate,
        beta1: adam.beta1,
        beta2: adam.beta2,
        epsilon: adam.eps,
        weightDecay: adam.weightDecay,
        maxGradNorm: Math.max(0, adam.gradClipNorm),
      });
      if (!skipped) this.loaded.weights = `${this.facts.id}#${++this.#updates}`;
      // A gradient that is not finite changes nothing; JSON has no word for its norm.
      const metrics: Record<string, number> = skipped ? { "skipped:max": 1 } : { "grad_norm:mean": gradNorm };
      return metrics;
    });
  }

  /** No more requests; those that wait end with an error. */
  close(): void {
    this.#closed = true;
    for (const wake of this.#arrivals.values()) wake();
  }

  async #turn(seqId: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#arrivals.delete(seqId);
        resolve();
      };
      const timer = setTimeout(wake, this.options.gapTimeoutMs);
      this.#arrivals.set(seqId, wake);
    });
    if (seqId > this.#next && !this.#closed) {
      const missing = this.#next;
      this.#next = seqId + 1;
      this.#arrivals.get(this.#next)?.();
      throw new BadRequest(`seq_id ${missing} never arrived, so ${seqId} was not carried out`);
    }
  }
}
