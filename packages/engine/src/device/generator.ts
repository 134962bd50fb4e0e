import { generationModel } from "../generation/generation-graph.js";
import { BatchBuffers } from "../generation/generation-model.js";
import { cacheBytes } from "../generation/key-value-cache.js";
import { prefillBatches } from "../generation/prefill.js";
import { type Portion, PromptQueue, type WaitingPrompt } from "../generation/prompt-queue.js";
import { Sampler } from "../generation/sampler.js";
import { inverseTemperature, type PreparedRequest, prepareRequest, Sequence } from "../generation/sequence.js";
import { validateRequests } from "../generation/validate.js";
import {
  type Device,
  type DeviceFetch,
  type DeviceSession,
  type DeviceTensor,
  type Tensor,
  throwIfAborted,
} from "../runtime/index.js";
import type { SampledSequence, SampleRequest } from "../types.js";
import type { ModelConfig } from "../weights/index.js";
import type { DeviceWeights } from "./device-weights.js";
import { type CacheTensors, DeviceCaches, releaseCache } from "./key-value-cache.js";
import type { DeviceRotary } from "./rotary.js";
import type { Transfer } from "./transfer.js";

/** Memory of the device for keys and values of the sequences in progress. */
const CACHE_BYTES = 2 * 1024 ** 3;
/** Sequences in progress at most: logits and probabilities of each come to the host at every step. */
const MAX_ROWS = 256;
const CAPACITY_STEP = 32;
/** New sequences enter, and the rows of finished ones are given up, when this share of the rows is free. */
const REORDER_SHARE = 1 / 4;

/** Sequences in progress and their cache; a row without a sequence has finished, and computes something harmless. */
interface Batch {
  readonly rows: (Sequence | undefined)[];
  cache: CacheTensors;
}

/**
 * Continues prompts on a device. Weights and caches stay there; token ids go in, logits and probabilities of the last
 * tokens come out, and the draw is the same as on the CPU. One call at a time.
 */
export class DeviceGenerator {
  private readonly sampler: Sampler;
  private readonly caches: DeviceCaches;
  private session: DeviceSession | undefined;

  constructor(
    private readonly device: Device,
    transfer: Transfer,
    private readonly config: ModelConfig,
    private readonly weights: DeviceWeights,
    private readonly rotary: DeviceRotary,
    private readonly contextLength: number,
  ) {
    this.sampler = new Sampler(config.vocabularySize);
    this.caches = new DeviceCaches(device, transfer, config);
  }

  /**
   * Yields each continuation as it finishes. Leaving the loop early stops the work.
   * @throws RangeError (at once) if a request is not valid; AbortError (from the iterator) if the signal aborts.
   */
  generate(
    requests: readonly SampleRequest[],
    options: { readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<SampledSequence, void, void> {
    const { vocabularySize } = this.config;
    validateRequests(requests, { vocabularySize, contextLength: this.contextLength });
    return this.continue(requests.map(prepareRequest), options.signal);
  }

  close(): void {
    this.caches.close();
    this.session?.close();
    this.session = undefined;
  }

  private async *continue(
    requests: readonly PreparedRequest[],
    signal: AbortSignal | undefined,
  ): AsyncGenerator<SampledSequence, void, void> {
    throwIfAborted(signal);
    const longest = requests.reduce(
      (most, { request }) => Math.max(most, request.prompt.length + request.maxTokens),
      0,
    );
    const capacity = Math.ceil(longest / CAPACITY_STEP) * CAPACITY_STEP;
    const affordable = Math.floor(CACHE_BYTES / Math.max(1, cacheBytes(this.config, capacity)));
    const maxRows = Math.max(1, Math.min(MAX_ROWS, affordable));
    const queue = new PromptQueue(requests);
    const batch: Batch = { rows: [], cache: [] };
    try {
      for (;;) {
        throwIfAborted(signal);
        const active = batch.rows.filter((sequence) => sequence !== undefined).length;
        const free = maxRows - active;
        if (!queue.isEmpty && free >= Math.max(1, maxRows * REORDER_SHARE)) {
          yield* this.admit(batch, queue.take(free), capacity, signal);
        } else if (active === 0) return;
        else {
          if (batch.rows.length - active > batch.rows.length * REORDER_SHARE) await this.reorder(batch, undefined, []);
          yield* await this.step(batch, capacity, signal);
        }
      }
    } finally {
      releaseCache(batch.cache);
    }
  }

  /** Prefills the prompts of some continuations, draws their first tokens and adds them to the batch. */
  private async *admit(
    batch: Batch,
    portions: readonly Portion[],
    capacity: number,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<SampledSequence, void, void> {
    const portionsByPrompt = new Map(portions.map((portion) => [portion.waiting, portion]));
    for (const prompts of prefillBatches([...portionsByPrompt.keys()])) {
      const { buffers, cache } = await this.prefill(prompts, capacity, signal);
      const started: { readonly sequence: Sequence; readonly row: number }[] = [];
      const finished: SampledSequence[] = [];
      try {
        for (const [row, waiting] of prompts.entries()) {
          const { firstSample, count } = portionsByPrompt.get(waiting)!;
          for (let sampleIndex = firstSample; sampleIndex < firstSample + count; sampleIndex++) {
            const sequence = new Sequence(waiting.prepared, sampleIndex);
            const stopReason = this.extend(sequence, buffers, row);
            if (stopReason === undefined) started.push({ sequence, row });
            else finished.push(sequence.finish(stopReason));
          }
        }
      } catch (error) {
        releaseCache(cache);
        throw error;
      }
      await this.reorder(batch, cache, started);
      yield* finished;
    }
  }

  private async prefill(prompts: readonly WaitingPrompt[], capacity: number, signal: AbortSignal | undefined) {
    const time = Math.max(...prompts.map(({ prepared }) => prepared.request.prompt.length));
    const buffers = new BatchBuffers(this.config, prompts.length, time);
    buffers.longest[0] = time;
    for (const [row, { prepared }] of prompts.entries()) {
      const { prompt } = prepared.request;
      buffers.ids.set(prompt, row * time);
      for (let index = 0; buffers.positions !== undefined && index < time; index++)
        buffers.positions[row * time + index] = BigInt(index);
      buffers.lastRows[row] = row * time + prompt.length - 1;
      buffers.lastIndices[row] = prompt.length - 1;
      buffers.inverseTemperatures[row] = inverseTemperature(prepared);
    }
    const empty = await this.caches.empty(prompts.length, capacity);
    try {
      const outputs = await this.run(buffers, prompts.length, time, capacity, empty.feeds, empty.fetches, signal);
      return { buffers, cache: this.caches.taken(outputs) };
    } finally {
      empty.release();
    }
  }

  /** One token more for every sequence. Returns those that end with it. */
  private async step(batch: Batch, capacity: number, signal: AbortSignal | undefined): Promise<SampledSequence[]> {
    const { rows } = batch;
    const buffers = new BatchBuffers(this.config, rows.length, 1);
    buffers.longest[0] = 2;
    for (const [row, sequence] of rows.entries()) {
      const length = sequence?.length ?? 1;
      buffers.ids[row] = sequence?.lastToken ?? 0;
      buffers.lastIndices[row] = length - 1;
      if (buffers.positions !== undefined) buffers.positions[row] = BigInt(length - 1);
      if (sequence) buffers.inverseTemperatures[row] = inverseTemperature(sequence.prepared);
      if (length > buffers.longest[0]!) buffers.longest[0] = length;
    }
    const feeds: Record<string, Tensor | DeviceTensor> = {};
    const fetches: Record<string, DeviceFetch> = {};
    this.caches.bindTo(feeds, fetches, batch.cache);
    await this.run(buffers, rows.length, 1, capacity, feeds, fetches, signal);
    return rows.flatMap((sequence, row) => {
      if (sequence === undefined) return [];
      const stopReason = this.extend(sequence, buffers, row);
      if (stopReason === undefined) return [];
      rows[row] = undefined;
      return [sequence.finish(stopReason)];
    });
  }

  private extend(sequence: Sequence, { logits, probabilities }: BatchBuffers, row: number) {
    return sequence.extend(this.sampler, logits, probabilities, row * this.config.vocabularySize);
  }

  /** Gives up the rows of finished sequences and adds started ones, whose prompts are rows of another cache. */
  private async reorder(
    batch: Batch,
    added: CacheTensors | undefined,
    started: readonly { readonly sequence: Sequence; readonly row: number }[],
  ): Promise<void> {
    const kept = batch.rows.flatMap((sequence, row) => (sequence === undefined ? [] : [{ sequence, row }]));
    const offset = kept.length === 0 ? 0 : batch.rows.length;
    const all = [...kept, ...started.map(({ sequence, row }) => ({ sequence, row: offset + row }))];
    const { cache } = batch;
    batch.cache = [];
    const rows = all.map(({ row }) => row);
    if (kept.length === 0) releaseCache(cache);
    if (all.length === 0) releaseCache(added ?? []);
    else if (kept.length === 0) batch.cache = await this.caches.gather(added!, undefined, rows);
    else batch.cache = await this.caches.gather(cache, added, rows);
    batch.rows.splice(0, batch.rows.length, ...all.map(({ sequence }) => sequence));
  }

  private async run(
    buffers: BatchBuffers,
    rows: number,
    time: number,
    capacity: number,
    cacheFeeds: Readonly<Record<string, Tensor | DeviceTensor>>,
    cacheFetches: Readonly<Record<string, DeviceFetch>>,
    signal: AbortSignal | undefined,
  ): Promise<Record<string, DeviceTensor>> {
    const hostFeeds: Record<string, Tensor> = {};
    const hostFetches: Record<string, Tensor> = {};
    buffers.bindTo(hostFeeds, hostFetches, rows, time);
    const feeds = {
      ...this.weights.feeds(),
      ...(await this.rotary.feeds(capacity)),
      ...hostFeeds,
      ...cacheFeeds,
    };
    this.session ??= await this.device.createSession(
      generationModel(this.config, "feeds", this.weights.lora, this.device.provider),
      {
        name: "generation",
        graphOptimization: "disabled",
      },
    );
    return this.session.run(feeds, { ...hostFetches, ...cacheFetches }, signal ? { signal } : {});
  }
}
