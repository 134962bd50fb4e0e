import { availableParallelism, totalmem } from "node:os";
import { AbortError, throwIfAborted } from "../runtime/index.js";
import type { GenerationPrecision, SampledSequence, SampleOptions, SampleRequest } from "../types.js";
import type { LoraAdapter, ModelConfig, ParameterStore } from "../weights/index.js";
import { Channel } from "./channel.js";
import { BatchBuffers, GenerationModel } from "./generation-model.js";
import { cacheBytes } from "./key-value-cache.js";
import { Lane } from "./lane.js";
import { PromptQueue } from "./prompt-queue.js";
import { Sampler } from "./sampler.js";
import { type PreparedRequest, prepareRequest } from "./sequence.js";
import { validateRequests } from "./validate.js";

/** Below this, a lane of its own costs more (each reads all weights) than the second core gives. */
const MIN_ROWS_PER_LANE = 8;
const CAPACITY_STEP = 32;

/** Tokens that a slot holds, for sequences up to a length. */
export function slotCapacity(longest: number): number {
  return Math.ceil(longest / CAPACITY_STEP) * CAPACITY_STEP;
}

/** What keys and values of the sequences in progress may take of this machine's memory. */
export function defaultCacheBytes(): number {
  return Math.min(totalmem() / 4, 4 * 2 ** 30);
}

export interface GeneratorOptions {
  /** Live adapters beside the parameters, which stay as they are then. */
  readonly adapter?: LoraAdapter | undefined;
  /** Cores to use; default: all. */
  readonly threads?: number;
  /** Longest sequence, prompt included; default: what the config allows. */
  readonly contextLength?: number;
  /** Memory for keys and values of the sequences in progress; default: a quarter of the machine's, 4 GiB at most. */
  readonly cacheBytes?: number;
}

/** Continues prompts with the live weights of a parameter store. One call at a time. */
export class Generator {
  readonly #config: ModelConfig;
  readonly #parameters: ParameterStore;
  readonly #adapter: LoraAdapter | undefined;
  readonly #threads: number;
  readonly #contextLength: number;
  readonly #cacheBytes: number;
  readonly #sampler: Sampler;
  #model: GenerationModel | undefined;
  #lanes: Lane[] = [];
  #state: "idle" | "busy" | "closed" = "idle";

  constructor(config: ModelConfig, parameters: ParameterStore, options: GeneratorOptions = {}) {
    this.#config = config;
    this.#parameters = parameters;
    this.#adapter = options.adapter;
    this.#threads = options.threads ?? availableParallelism();
    this.#contextLength = Math.min(options.contextLength ?? config.contextLength, config.contextLength);
    this.#cacheBytes = options.cacheBytes ?? defaultCacheBytes();
    this.#sampler = new Sampler(config.vocabularySize);
  }

  /**
   * Yields each continuation as it finishes. Weights must not change meanwhile. Leaving the loop early stops the work.
   * @throws RangeError (at once) if a request is not valid; AbortError (from the iterator) if the signal aborts.
   */
  generate(
    requests: readonly SampleRequest[],
    options: SampleOptions = {},
  ): AsyncGenerator<SampledSequence, void, void> {
    validateRequests(requests, { vocabularySize: this.#config.vocabularySize, contextLength: this.#contextLength });
    return this.#generate(requests.map(prepareRequest), options);
  }

  async *#generate(
    requests: readonly PreparedRequest[],
    { signal, precision = "float32" }: SampleOptions,
  ): AsyncGenerator<SampledSequence, void, void> {
    throwIfAborted(signal);
    if (this.#state === "closed") throw new Error("The generator is closed");
    if (this.#state === "busy") throw new Error("The generator is already generating; wait for it to end");
    if (requests.length === 0) return;
    this.#state = "busy";
    const stop = new AbortController();
    const onAbort = () => stop.abort(signal?.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    const channel = new Channel<SampledSequence>();
    const work = this.#start(requests, precision, channel, stop);
    try {
      yield* channel;
    } catch (error) {
      if (signal?.aborted) throw error instanceof AbortError ? error : new AbortError(signal.reason);
      throw error;
    } finally {
      signal?.removeEventListener("abort", onAbort);
      stop.abort();
      await work;
      this.#state = "idle";
    }
  }

  /** Runs all lanes to their end; never rejects: errors go into the channel. */
  async #start(
    requests: readonly PreparedRequest[],
    precision: GenerationPrecision,
    channel: Channel<SampledSequence>,
    stop: AbortController,
  ): Promise<void> {
    try {
      const { lanes, maxActive } = this.#prepareLanes(requests, precision);
      const queue = new PromptQueue(requests);
      const shared = {
        queue,
        sampler: this.#sampler,
        signal: stop.signal,
        alone: lanes.length === 1,
        emit: (sequence: SampledSequence) => channel.push(sequence),
      };
      const results = lanes.map(async (lane) => {
        try {
          await lane.run(shared, maxActive);
        } catch (error) {
          channel.fail(error);
          stop.abort();
        }
      });
      await Promise.all(results);
      channel.close();
    } catch (error) {
      channel.fail(error);
    }
  }

  /** Chooses how many lanes and slots the requests need, and keeps buffers of earlier calls that are large enough. */
  #prepareLanes(
    requests: readonly PreparedRequest[],
    precision: GenerationPrecision,
  ): { readonly lanes: readonly Lane[]; readonly maxActive: number } {
    const config = this.#config;
    let total = 0;
    let longest = 0;
    for (const { request } of requests) {
      total += request.count;
      longest = Math.max(longest, request.prompt.length + request.maxTokens);
    }
    const capacity = slotCapacity(longest);
    const bytesPerSequence = cacheBytes(config, capacity) + BatchBuffers.bytesPerRow(config);
    const affordable = Math.max(1, Math.floor(this.#cacheBytes / bytesPerSequence));
    const wanted = Math.min(total, affordable);
    if (this.#model?.precision !== precision) {
      this.#release();
      const options = { threads: this.#threads, adapter: this.#adapter, precision };
      this.#model = new GenerationModel(config, this.#parameters, options);
    }
    const laneCount = Math.max(1, Math.min(this.#model.maxLanes, Math.floor(wanted / MIN_ROWS_PER_LANE)));
    const maxActive = Math.ceil(wanted / laneCount);
    if (this.#model.refresh(laneCount)) for (const lane of this.#lanes) lane.unbind();
    const fits = this.#lanes.every((lane) => lane.slots >= maxActive && lane.capacity >= capacity);
    if (!fits || this.#lanes.length < laneCount) {
      for (const lane of this.#lanes) lane.unbind();
      // The old buffers must not be reachable while the new ones are made.
      this.#lanes = [];
      for (let index = 0; index < laneCount; index++) this.#lanes.push(new Lane(this.#model, maxActive, capacity));
    }
    return { lanes: this.#lanes.slice(0, laneCount), maxActive };
  }

  /** Gives memory back. A call in progress has to end first. */
  close(): void {
    if (this.#state === "busy") throw new Error("The generator is generating; stop that before closing it");
    this.#state = "closed";
    this.#release();
  }

  #release(): void {
    for (const lane of this.#lanes) lane.unbind();
    this.#lanes = [];
    this.#model?.close();
    this.#model = undefined;
  }
}
