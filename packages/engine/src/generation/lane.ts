import { type BoundRun, throwIfAborted } from "../runtime/index.js";
import type { SampledSequence } from "../types.js";
import { BatchBuffers, type GenerationModel } from "./generation-model.js";
import { KeyValueCache } from "./key-value-cache.js";
import { prefillJobs, runPrefill } from "./prefill.js";
import type { Portion, PrefilledPrompt, PromptQueue, WaitingPrompt } from "./prompt-queue.js";
import type { Sampler } from "./sampler.js";
import { inverseTemperature, Sequence } from "./sequence.js";

/**
 * Rows of a decode run are rounded up to a multiple of this (at least MIN_ROWS), so that few different runs have to be
 * bound.
 */
const ROW_STEP = 4;

/** New sequences enter when this share of the slots is free: prefilling one by one would hold up the others. */
const ADMISSION_SHARE = 1 / 8;

/** Steps shorter than this run on the calling thread, where the hand-over to another would cost more. */
const MAX_SYNC_STEP_MS = 1;
/** The event loop gets its turn at least this often. */
const MAX_BLOCKED_MS = 20;

/** What a lane works for. */
export interface LaneWork {
  readonly queue: PromptQueue;
  readonly sampler: Sampler;
  readonly signal: AbortSignal;
  /** No other lane computes at the same time. */
  readonly alone: boolean;
  readonly emit: (sequence: SampledSequence) => void;
}

/**
 * Sequences that are continued together on one core. Finished ones leave at once and waiting ones take their slots.
 * The sequences in progress always occupy the first slots.
 */
export class Lane {
  readonly slots: number;
  readonly capacity: number;
  readonly #model: GenerationModel;
  readonly #cache: KeyValueCache;
  readonly #buffers: BatchBuffers;
  readonly #runs = new Map<number, BoundRun>();
  readonly #active: Sequence[] = [];
  #stepMs = Number.POSITIVE_INFINITY;
  #lastYield = 0;

  constructor(model: GenerationModel, slots: number, capacity: number) {
    this.slots = Math.ceil(slots / ROW_STEP) * ROW_STEP;
    this.capacity = capacity;
    this.#model = model;
    this.#cache = new KeyValueCache(model.config, this.slots, capacity);
    this.#buffers = new BatchBuffers(model.config, this.slots, 1);
  }

  /** Continues sequences of the queue until none is left. */
  async run(work: LaneWork, maxActive: number): Promise<void> {
    this.#active.length = 0;
    this.#lastYield = performance.now();
    const threshold = Math.max(1, Math.floor(maxActive * ADMISSION_SHARE));
    for (;;) {
      throwIfAborted(work.signal);
      const free = maxActive - this.#active.length;
      if (!work.queue.isEmpty && free >= threshold) await this.#admit(work, free);
      if (this.#active.length > 0) await this.#step(work);
      else if (work.queue.isEmpty) return;
    }
  }

  /**
   * Starts up to `count` sequences: prefills their prompts and draws their first tokens. Batch by batch, so that the
   * memory of one is free again before the next but one begins.
   */
  async #admit(work: LaneWork, count: number): Promise<void> {
    const portions = new Map(work.queue.take(count).map((portion) => [portion.waiting, portion]));
    const fresh = [...portions.keys()].filter((waiting) => waiting.prefill === undefined);
    const [single, several] = partition(fresh, ({ prepared }) => prepared.request.count === 1);
    const inPlace = this.#admitInPlace(single, work);
    const batches = prefillJobs(several);
    let previous: Promise<unknown> = inPlace;
    for (const batch of batches) previous = this.#startPrefill(batch, previous, work.signal);
    await inPlace;
    for (const waiting of single) portions.delete(waiting);
    for (const waiting of [...batches.flat(), ...portions.keys()]) {
      const portion = portions.get(waiting);
      if (portion === undefined) continue;
      portions.delete(waiting);
      this.#start(portion, await waiting.prefill!, work);
      // Nobody else has continuations of it: the memory can go.
      if (portion.count === waiting.prepared.request.count) waiting.prefill = undefined;
    }
  }

  /** Prompts with one continuation are prefilled where it goes on: nothing has to be copied. */
  async #admitInPlace(prompts: readonly WaitingPrompt[], { sampler, emit, signal }: LaneWork): Promise<void> {
    for (const batch of prefillJobs(prompts)) {
      const first = this.#active.length;
      const results = await runPrefill(this.#model, batch, signal, { cache: this.#cache, firstSlot: first });
      for (const [index, { prepared }] of batch.entries()) {
        this.#active.push(new Sequence(prepared, 0));
        this.#buffers.inverseTemperatures[first + index] = inverseTemperature(prepared);
      }
      // Backwards, as in a step.
      for (let index = batch.length - 1; index >= 0; index--) {
        const { logits, probabilities, offset } = results[index]!;
        const sequence = this.#active[first + index]!;
        const stopReason = sequence.extend(sampler, logits, probabilities, offset);
        if (stopReason === undefined) continue;
        emit(sequence.finish(stopReason));
        this.#remove(first + index);
      }
    }
  }

  /** The prompts' promises are set at once, so that a lane that takes more of the same request waits for this run. */
  #startPrefill(batch: readonly WaitingPrompt[], previous: Promise<unknown>, signal: AbortSignal): Promise<unknown> {
    const result = previous.then(() => runPrefill(this.#model, batch, signal));
    for (const [index, waiting] of batch.entries()) {
      waiting.prefill = result.then((prompts) => prompts[index]!);
      // Whoever awaits it sees the error; nobody may, if the lane stops before.
      waiting.prefill.catch(() => {});
    }
    return result;
  }

  #start({ waiting, firstSample, count }: Portion, prompt: PrefilledPrompt, { sampler, emit }: LaneWork): void {
    const { prepared } = waiting;
    for (let sampleIndex = firstSample; sampleIndex < firstSample + count; sampleIndex++) {
      const sequence = new Sequence(prepared, sampleIndex);
      const stopReason = sequence.extend(sampler, prompt.logits, prompt.probabilities, prompt.offset);
      if (stopReason !== undefined) {
        emit(sequence.finish(stopReason));
        continue;
      }
      const slot = this.#active.length;
      this.#cache.copyFrom(prompt.cache, prompt.slot, slot, prepared.request.prompt.length);
      this.#active.push(sequence);
      this.#buffers.inverseTemperatures[slot] = inverseTemperature(prepared);
    }
  }

  /** One token more for every sequence. */
  async #step(work: LaneWork): Promise<void> {
    const active = this.#active;
    const { ids, positions, lastIndices, longest, logits, probabilities } = this.#buffers;
    const rows = Math.ceil(active.length / ROW_STEP) * ROW_STEP;
    longest[0] = 2;
    for (let slot = 0; slot < rows; slot++) {
      const sequence = active[slot];
      // Rows without a sequence compute something harmless in a slot that nobody uses.
      const length = sequence?.length ?? 1;
      ids[slot] = sequence?.lastToken ?? 0;
      lastIndices[slot] = length - 1;
      if (positions !== undefined) positions[slot] = BigInt(length - 1);
      if (length > longest[0]!) longest[0] = length;
    }
    await this.#compute(rows, work);
    const width = this.#model.config.vocabularySize;
    // Backwards: a finished sequence is replaced by the last one, which has had its turn already.
    for (let slot = active.length - 1; slot >= 0; slot--) {
      const sequence = active[slot]!;
      const stopReason = sequence.extend(work.sampler, logits, probabilities, slot * width);
      if (stopReason === undefined) continue;
      work.emit(sequence.finish(stopReason));
      this.#remove(slot);
    }
  }

  #remove(slot: number): void {
    const last = this.#active.pop()!;
    const from = this.#active.length;
    if (slot === from) return;
    this.#active[slot] = last;
    this.#buffers.inverseTemperatures[slot] = this.#buffers.inverseTemperatures[from]!;
    // The newest token is not in the cache yet.
    this.#cache.copyFrom(this.#cache, from, slot, last.length - 1);
  }

  async #compute(rows: number, { signal, alone }: LaneWork): Promise<void> {
    let run = this.#runs.get(rows);
    if (run === undefined) {
      run = this.#model.bind(this.#buffers, this.#cache, rows, 1);
      this.#runs.set(rows, run);
    }
    const start = performance.now();
    if (alone && this.#stepMs < MAX_SYNC_STEP_MS) {
      if (start - this.#lastYield > MAX_BLOCKED_MS) {
        await new Promise((resolve) => setImmediate(resolve));
        throwIfAborted(signal);
        this.#lastYield = performance.now();
      }
      run.runSync();
    } else {
      await run.run({ signal });
      this.#lastYield = performance.now();
    }
    this.#stepMs = performance.now() - start;
  }

  /** Forgets the bound runs; buffers stay. */
  unbind(): void {
    for (const run of this.#runs.values()) run.close();
    this.#runs.clear();
  }
}

function partition<T>(values: readonly T[], isFirst: (value: T) => boolean): [T[], T[]] {
  return [values.filter(isFirst), values.filter((value) => !isFirst(value))];
}
