/** A LanguageModel with the name of its weights; what is done with it happens in turn. */
import type { LanguageModel, SampledSequence, SampleRequest } from "@critique-grpo/engine";

interface SampleJob {
  readonly request: SampleRequest;
  readonly weights: string;
  readonly signal: AbortSignal | undefined;
  readonly sequences: SampledSequence[];
  readonly resolve: (sequences: readonly SampledSequence[] | "other-weights") => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Requests to sample that wait while the model is busy are run as one batch: what each of them draws does not depend on
 * the others.
 */
export class LoadedModel {
  /** Users that hold it: it is closed only without any. */
  users = 0;
  lastUsed = Date.now();
  /** Adapters that lie beside its weights: while there are any, it is neither closed nor trained. */
  adapters = 0;
  #tail: Promise<unknown> = Promise.resolve();
  #waiting: SampleJob[] = [];

  /**
   * @param weights names the weights that the model has now; it changes with every update
   * @param base the model whose weights its adapters lie beside; undefined if it has weights of its own
   */
  constructor(
    readonly model: LanguageModel,
    public weights: string,
    readonly base?: LoadedModel,
  ) {}

  get isIdle(): boolean {
    return this.users === 0 && this.adapters === 0;
  }

  /** Runs a task alone on the model, after those that came before. */
  run<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(task);
    this.#tail = result.catch(() => {});
    return result;
  }

  /** Continuations in the order of their index, or "other-weights" if the model has moved on when its turn comes. */
  sample(
    request: SampleRequest,
    weights: string,
    signal?: AbortSignal,
  ): Promise<readonly SampledSequence[] | "other-weights"> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ request, weights, signal, sequences: [], resolve, reject });
      if (this.#waiting.length === 1) void this.run(() => this.#runBatch());
    });
  }

  async close(): Promise<void> {
    await this.run(() => this.model.close());
  }

  async #runBatch(): Promise<void> {
    const waiting = this.#waiting;
    this.#waiting = [];
    const jobs: SampleJob[] = [];
    for (const job of waiting) {
      if (job.signal?.aborted) job.reject(job.signal.reason);
      else if (job.weights !== this.weights) job.resolve("other-weights");
      else jobs.push(job);
    }
    if (jobs.length === 0) return;
    try {
      await whileWanted(jobs, async (signal) => {
        const requests = jobs.map((job) => job.request);
        for await (const sequence of this.model.sample(requests, { signal })) {
          const job = jobs[sequence.requestIndex]!;
          job.sequences.push(sequence);
          if (job.sequences.length === job.request.count)
            job.resolve(job.sequences.sort((a, b) => a.sampleIndex - b.sampleIndex));
        }
      });
    } catch (error) {
      for (const job of jobs) job.reject(error);
    }
  }
}

/**
 * Runs a task with a signal that aborts once nobody wants any result of the batch. A request of many texts or pieces has one
 * signal for all of them, so each is listened to once, and only while the task runs.
 */
async function whileWanted(jobs: readonly SampleJob[], task: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const ended = new AbortController();
  const wanted = new Set(jobs.map(({ signal }) => signal));
  const giveUp = ({ target }: Event) => {
    wanted.delete(target as AbortSignal);
    if (wanted.size === 0) ended.abort();
  };
  const signals = [...wanted];
  for (const signal of signals) signal?.addEventListener("abort", giveUp);
  try {
    await task(ended.signal);
  } finally {
    for (const signal of signals) signal?.removeEventListener("abort", giveUp);
  }
}
