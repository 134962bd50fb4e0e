/** The models in memory: those in training, and copies that are only sampled. */
import type {
  AdapterSource,
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

/** Weights that can be sampled: their name, and where they are if no model in memory has them. */
export type Weights =
  | { readonly name: string; readonly source: ModelSource }
  /** Adapters beside the base model's weights. */
  | { readonly name: string; readonly adapter: AdapterSource };

export interface ModelHostOptions {
  readonly source: ModelSource;
  readonly load: LoadOptions;
  /** Copies kept for sampling weights that no training model has (at least 1). */
  readonly maxSamplers: number;
}

const BASE = "base";
/** Adapters kept for sampling that no training model has: each is small beside a copy of the weights. */
const MAX_SAMPLED_ADAPTERS = 4;

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

  /** A model of the weights to train; one that nobody samples is taken over instead of loaded again. */
  async createTraining(weights: Weights): Promise<LoadedModel> {
    const idle = this.#samplers.get(weights.name);
    if (idle !== undefined) {
      const sampler = await idle;
      if (sampler.isIdle && this.#samplers.get(weights.name) === idle) {
        this.#samplers.delete(weights.name);
        this.#training.add(sampler);
        return sampler;
      }
    }
    const loaded = await this.#load(weights);
    this.#training.add(loaded);
    return loaded;
  }

  /** Closes a training model. */
  async release(loaded: LoadedModel): Promise<void> {
    this.#training.delete(loaded);
    await this.#close(loaded);
    await this.#trimSamplers();
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
    const loaded = await this.#holdSampler(weights, "users");
    try {
      return await use(loaded);
    } finally {
      loaded.users--;
      loaded.lastUsed = Date.now();
      await this.#trimSamplers();
    }
  }

  /** A model for sampling, which stays open until the count is taken back. */
  async #holdSampler(weights: Weights, count: "users" | "adapters"): Promise<LoadedModel> {
    for (;;) {
      if (this.#closed) throw new BadRequest("The server is shutting down");
      let opening = this.#samplers.get(weights.name);
      if (opening === undefined) {
        opening = this.#load(weights);
        this.#samplers.set(weights.name, opening);
        opening.catch(() => this.#samplers.delete(weights.name));
      }
      const loaded = await opening;
      // A training model may have taken it over meanwhile.
      if (this.#samplers.get(weights.name) !== opening) continue;
      loaded[count]++;
      return loaded;
    }
  }

  async #load(weights: Weights): Promise<LoadedModel> {
    if ("source" in weights) return new LoadedModel(await loadModel(weights.source, this.#options.load), weights.name);
    const base = await this.#holdSampler(this.base, "adapters");
    try {
      return new LoadedModel(await base.model.openAdapter(weights.adapter), weights.name, base);
    } catch (error) {
      base.adapters--;
      throw error;
    }
  }

  async #close(loaded: LoadedModel): Promise<void> {
    await loaded.close();
    if (loaded.base !== undefined) loaded.base.adapters--;
  }

  /** Closes what was used longest ago, above the limits. A base that adapters need stays, and does not count. */
  async #trimSamplers(): Promise<void> {
    const opened = await Promise.all(
      [...this.#samplers].map(async ([name, opening]) => ({
        name,
        opening,
        loaded: await opening.catch(() => undefined),
      })),
    );
    const kept = opened
      .flatMap(({ loaded, ...entry }) => (loaded === undefined || loaded.adapters > 0 ? [] : [{ ...entry, loaded }]))
      .sort((a, b) => b.loaded.lastUsed - a.loaded.lastUsed);
    const [adapters, copies] = [kept.filter(({ loaded }) => loaded.base), kept.filter(({ loaded }) => !loaded.base)];
    const excess = [...adapters.slice(MAX_SAMPLED_ADAPTERS), ...copies.slice(this.#options.maxSamplers)];
    for (const { name, opening, loaded } of excess) {
      if (!loaded.isIdle || this.#samplers.get(name) !== opening) continue;
      this.#samplers.delete(name);
      await this.#close(loaded);
    }
  }
}
