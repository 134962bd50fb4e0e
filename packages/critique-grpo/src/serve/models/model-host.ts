/** The models in memory: those in training, and copies that are only sampled. */
import type {
  LanguageModel,
  LoadOptions,
  ModelInfo,
  ModelSource,
  SampledSequence,
  SampleRequest,
  TokenLogprobs,
} from "@critique-grpo/engine";
import { BadRequest } from "../../http/errors.js";
import { loadModel } from "../../policy/load-model.js";
import { LoadedModel } from "./loaded-model.js";

/** Weights that can be sampled: their name, and where a copy is if no model in memory has them. */
export interface Weights {
  readonly name: string;
  readonly source: ModelSource;
}

export interface ModelHostOptions {
  readonly source: ModelSource;
  readonly load: LoadOptions;
  /** Copies kept for sampling weights that no training model has (at least 1). */
  readonly maxSamplers: number;
}

const BASE = "base";

export class ModelHost {
  readonly base: Weights;
  readonly #training = new Set<LoadedModel>();
  readonly #samplers = new Map<string, Promise<LoadedModel>>();
  readonly #options: ModelHostOptions;
  #closed = false;

  private constructor(
    options: ModelHostOptions,
    readonly info: ModelInfo,
  ) {
    this.#options = options;
    this.base = { name: BASE, source: options.source };
  }

  /** Loads the base model: what is wrong with it is said at the start. */
  static async open(options: ModelHostOptions): Promise<ModelHost> {
    const model = await loadModel(options.source, options.load);
    const host = new ModelHost(options, model.info);
    host.#samplers.set(BASE, Promise.resolve(new LoadedModel(model, BASE)));
    return host;
  }

  /** A copy of the weights to train; one that nobody samples is taken over instead of loaded again. */
  async createTraining(weights: Weights): Promise<LoadedModel> {
    const idle = this.#samplers.get(weights.name);
    if (idle !== undefined) {
      const sampler = await idle;
      if (sampler.users === 0 && this.#samplers.get(weights.name) === idle) {
        this.#samplers.delete(weights.name);
        this.#training.add(sampler);
        return sampler;
      }
    }
    const loaded = new LoadedModel(await loadModel(weights.source, this.#options.load), weights.name);
    this.#training.add(loaded);
    return loaded;
  }

  /** Closes a training model. */
  async release(loaded: LoadedModel): Promise<void> {
    this.#training.delete(loaded);
    await loaded.close();
  }

  /** Continuations in the order of their index, from exactly these weights. */
  async sample(weights: Weights, request: SampleRequest, signal?: AbortSignal): Promise<readonly SampledSequence[]> {
    for (const loaded of this.#training) {
      if (loaded.weights !== weights.name) continue;
      const sequences = await loaded.sample(request, weights.name, signal);
      if (sequences !== "other-weights") return sequences;
    }
    return this.#withSampler(weights, async (loaded) => {
      const sequences = await loaded.sample(request, weights.name, signal);
      if (sequences === "other-weights") throw new Error("a sampler's weights never change");
      return sequences;
    });
  }

  /** log π of every token but the first. */
  async promptLogprobs(weights: Weights, tokens: readonly number[]): Promise<Float32Array> {
    if (tokens.length < 2) return new Float32Array(0);
    const sequence = { prompt: tokens.slice(0, 1), response: tokens.slice(1) };
    const score = async (model: LanguageModel): Promise<Float32Array> => {
      const [result] = (await model.logprobs([sequence])) as readonly [TokenLogprobs];
      return result.logprobs;
    };
    for (const loaded of this.#training) {
      if (loaded.weights !== weights.name) continue;
      const scored = await loaded.run(async () => (loaded.weights === weights.name ? score(loaded.model) : undefined));
      if (scored !== undefined) return scored;
    }
    return this.#withSampler(weights, (loaded) => loaded.run(() => score(loaded.model)));
  }

  async close(): Promise<void> {
    this.#closed = true;
    const samplers = await Promise.all([...this.#samplers.values()]);
    const all = [...this.#training, ...samplers];
    this.#training.clear();
    this.#samplers.clear();
    await Promise.all(all.map((loaded) => loaded.close()));
  }

  async #withSampler<T>(weights: Weights, use: (loaded: LoadedModel) => Promise<T>): Promise<T> {
    if (this.#closed) throw new BadRequest("The server is shutting down");
    const loaded = await this.#openSampler(weights);
    loaded.users++;
    try {
      return await use(loaded);
    } finally {
      loaded.users--;
      loaded.lastUsed = Date.now();
      await this.#trimSamplers();
    }
  }

  async #openSampler(weights: Weights): Promise<LoadedModel> {
    let opening = this.#samplers.get(weights.name);
    if (opening === undefined) {
      opening = loadModel(weights.source, this.#options.load).then((model) => new LoadedModel(model, weights.name));
      this.#samplers.set(weights.name, opening);
      opening.catch(() => this.#samplers.delete(weights.name));
    }
    const loaded = await opening;
    // A training model may have taken it over meanwhile.
    return this.#samplers.get(weights.name) === opening ? loaded : this.#openSampler(weights);
  }

  async #trimSamplers(): Promise<void> {
    const settled = await Promise.all(
      [...this.#samplers].map(async ([name, opening]) => ({ name, loaded: await opening })),
    );
    settled.sort((a, b) => a.loaded.lastUsed - b.loaded.lastUsed);
    for (const { name, loaded } of settled) {
      if (this.#samplers.size <= this.#options.maxSamplers) return;
      if (loaded.users > 0) continue;
      this.#samplers.delete(name);
      await loaded.close();
    }
  }
}
