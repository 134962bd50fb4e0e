/**
 * The Policy port over a Tinker server: sampling and training happen there, losses, rewards and records here. See
 * docs/distributed.md for what takes how many passes and what differs between servers.
 */
import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import {
  formatCheckpointPath,
  NotFoundError,
  ProtocolError,
  type SamplingClient,
  type ServiceClient,
  type TrainingClient,
} from "@critique-grpo/tinker";
import { InputError } from "../config/errors.js";
import type { RunConfig } from "../config/schema.js";
import { writeFileAtomic } from "../run/files.js";
import type {
  AdamWParameters,
  ForwardBackwardResult,
  OptimizerStepResult,
  Policy,
  PolicyInfo,
  SampledSequence,
  SampleRequest,
  TokenLogprobs,
  TokenLoss,
  TokenSequence,
} from "./policy.js";
import { unpackArchive } from "./tinker-archive.js";
import { asTheyFinish } from "./tinker-concurrency.js";
import { verifyExport } from "./tinker-export.js";
import { readTinkerState, writeTinkerState } from "./tinker-state.js";
import { forwardBackward, forwardLogprobs } from "./tinker-update.js";

export type TinkerEngineConfig = Extract<RunConfig["engine"], { type: "tinker" }>;

interface PassOptions {
  readonly temperature?: number;
  readonly signal?: AbortSignal;
}

/** How long closing waits for the server to free the model. */
const UNLOAD_TIMEOUT_MS = 10_000;

export class TinkerPolicy implements Policy {
  readonly info: PolicyInfo;
  readonly #service: ServiceClient;
  readonly #engine: TinkerEngineConfig;
  #training: TrainingClient;
  /** The model has had a request: a state can no longer be loaded into it. */
  #used = false;
  /** Samples the weights as they are, or soon will be; null once they have changed. */
  #sampler: Promise<SamplingClient> | null = null;
  #reference: SamplingClient | null = null;
  /** Optimizer steps that changed the weights. */
  #version = 0;
  /** Gradients that the server is still computing. */
  #underWay: Promise<unknown>[] = [];
  /** Deletion of old sampler files. */
  #cleanUp: Promise<void> = Promise.resolve();
  /** A gradient of this step was not finite. */
  #skip = false;

  /** Use `openTinkerPolicy`. The policy owns the service and the model. */
  constructor(service: ServiceClient, training: TrainingClient, engine: TinkerEngineConfig, info: PolicyInfo) {
    this.#service = service;
    this.#training = training;
    this.#engine = engine;
    this.info = info;
  }

  /** All requests are made at once; the client bounds how many are under way. */
  async *sample(
    requests: readonly SampleRequest[],
    options: { signal?: AbortSignal } = {},
  ): AsyncIterable<SampledSequence> {
    if (requests.length === 0) return;
    const ended = new AbortController();
    const signal = options.signal === undefined ? ended.signal : AbortSignal.any([options.signal, ended.signal]);
    try {
      const sampler = await this.#currentSampler();
      signal.throwIfAborted();
      const policyVersion = this.#version;
      const drawn = requests.map((request, index) => draw(sampler, request, index, signal));
      for await (const sequences of asTheyFinish(drawn)) {
        for (const sequence of sequences) yield { ...sequence, policyVersion };
      }
    } finally {
      // Of samples that nobody waits for any more.
      ended.abort();
    }
  }

  async logprobs<S extends TokenSequence>(
    sequences: readonly S[],
    options: PassOptions = {},
  ): Promise<readonly TokenLogprobs[]> {
    requireUnitTemperature(options);
    this.#used = true;
    return (await forwardLogprobs(this.#training, sequences, options.signal)).map(withoutEntropies);
  }

  /** By the sampler of the base model, which is what fresh adapters compute. */
  async referenceLogprobs<S extends TokenSequence>(
    sequences: readonly S[],
    options: PassOptions = {},
  ): Promise<readonly TokenLogprobs[]> {
    requireUnitTemperature(options);
    const { signal } = options;
    this.#reference ??= await this.#service.createSamplingClient({ baseModel: this.#engine.baseModel });
    const reference = this.#reference;
    const evaluate = async ({ prompt, response }: S): Promise<TokenLogprobs> => {
      const logprobs = await reference.computeLogprobs(
        [...prompt, ...response],
        signal === undefined ? {} : { signal },
      );
      const values = logprobs.slice(prompt.length).map((value) => {
        if (value === null) throw new ProtocolError("The server gave no log-probability for a token of a response");
        return value;
      });
      return withoutEntropies(Float32Array.from(values));
    };
    return Promise.all(sequences.map(evaluate));
  }

  /**
   * Returns once log π is known and the gradient's pass is queued; `optimizerStep` waits for it. On a server that averages
   * (SkyRL-JAX) there may be one call an optimizer step.
   */
  async forwardBackward<S extends TokenSequence>(
    sequences: readonly S[],
    tokenLoss: TokenLoss<S>,
    options: PassOptions = {},
  ): Promise<ForwardBackwardResult<S>> {
    requireUnitTemperature(options);
    // Only before: a gradient that was sent must not be left undecided.
    options.signal?.throwIfAborted();
    if (sequences.length === 0) return { loss: 0, sequences: [], tokens: 0, computedTokens: 0, paddingTokens: 0 };
    this.#used = true;
    const { result, finite, underWay } = await forwardBackward(
      this.#training,
      sequences,
      tokenLoss,
      this.#engine.entropy,
    );
    this.#underWay.push(...underWay);
    if (!finite) this.#skip = true;
    return result;
  }

  async optimizerStep(
    parameters: AdamWParameters,
    options: { samplingNext?: boolean } = {},
  ): Promise<OptimizerStepResult> {
    const underWay = this.#underWay;
    this.#underWay = [];
    if (this.#skip) {
      if (underWay.length > 0) {
        throw new Error(
          "A gradient was not finite after others of the same step had been sent: the server cannot forget those. Give all sequences of a step in one call",
        );
      }
      this.#skip = false;
      return { gradNorm: Number.NaN, skipped: true };
    }
    const { learningRate, beta1, beta2, epsilon, weightDecay, maxGradNorm } = parameters;
    this.#used = true;
    this.#sampler = null;
    const adam = { learningRate, beta1, beta2, eps: epsilon, weightDecay, gradClipNorm: maxGradNorm };
    // Queued behind the gradients without waiting for them: the server has all of it at hand.
    const step = this.#training.optimStep(adam);
    if (options.samplingNext === true) this.#sampler = this.#saveSampler();
    const [{ metrics }] = await Promise.all([step, ...underWay]);
    // Our own server skips a step whose gradient is not finite, and says so.
    const skipped = (metrics["skipped:max"] ?? 0) > 0;
    if (!skipped) this.#version++;
    return { gradNorm: gradNormOf(metrics), skipped };
  }

  /** The state stays on the server; the directory gets its path. */
  async saveState(directory: string): Promise<void> {
    await this.#settle();
    this.#used = true;
    const { stateTtlSeconds, baseModel, loraRank, baseUrl } = this.#engine;
    const ttl = stateTtlSeconds === undefined ? {} : { ttlSeconds: stateTtlSeconds };
    const path = await this.#training.saveState(this.#name("state"), ttl);
    await writeTinkerState(directory, { path, version: this.#version, baseModel, loraRank, baseUrl });
  }

  /** @throws InputError if the state is of another model, or is no longer on the server. */
  async loadState(directory: string): Promise<void> {
    const { path, version } = await readTinkerState(directory, this.#engine);
    try {
      if (this.#used) {
        // A state can only be loaded by a model's first request; one model at a time, for servers that have one slot.
        await this.#training.unload();
        this.#training = await this.#service.createTrainingClientFromState(path);
      } else {
        await this.#training.loadState(path);
      }
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
      throw new InputError(
        `${path}, the state of ${directory}, is not on ${this.#engine.baseUrl} (deleted, expired, or of another account)`,
        { cause: error },
      );
    }
    this.#used = true;
    this.#sampler = null;
    this.#underWay = [];
    this.#skip = false;
    this.#version = version;
  }

  /** Downloads the weights: a PEFT adapter of the base model, or a whole model on servers that merge. */
  async exportModel(directory: string): Promise<void> {
    await this.#settle();
    this.#used = true;
    const saved = await this.#training.saveWeightsForSampler(this.#name("export"));
    // On some servers the newest save is the only one that may be sampled.
    this.#sampler = null;
    if (saved.path === null) throw new ProtocolError("The server gave no path for a named save of sampler weights");
    const file = join(directory, `.archive-${randomBytes(4).toString("hex")}`);
    try {
      const archive = await this.#service.rest.downloadArchive(saved.path, file);
      const files = await unpackArchive(file, directory);
      const kind = await verifyExport(directory, files);
      const { baseModel, loraRank } = this.#engine;
      const { bytes, sha256 } = archive;
      const provenance = {
        kind,
        baseModel,
        loraRank,
        version: this.#version,
        path: saved.path,
        archive: { bytes, sha256 },
      };
      await writeFileAtomic(join(directory, "tinker.json"), `${JSON.stringify(provenance, null, 2)}\n`);
    } finally {
      await rm(file, { force: true });
    }
  }

  /** Frees the model on the server, as far as it can be reached; saved states stay. */
  async close(): Promise<void> {
    try {
      await this.#training.unload({
        signal: AbortSignal.timeout(UNLOAD_TIMEOUT_MS),
        timeoutMs: UNLOAD_TIMEOUT_MS,
      });
    } catch {
      // The server frees the models of a session that ends.
    } finally {
      await this.#service.close();
    }
  }

  async #currentSampler(): Promise<SamplingClient> {
    await this.#settle();
    this.#used = true;
    this.#sampler ??= this.#saveSampler();
    try {
      return await this.#sampler;
    } catch (error) {
      this.#sampler = null;
      throw error;
    }
  }

  /** Queues the save at once. Awaited or not: a failure shows where the sampler is used. */
  #saveSampler(): Promise<SamplingClient> {
    const saved = this.#training.saveWeightsAndGetSamplingClient().then((sampler) => {
      this.#cleanUp = this.#cleanUp.then(() => this.#deleteOldSamplers());
      return sampler;
    });
    saved.catch(() => {});
    return saved;
  }

  /** SkyRL keeps the file of every unnamed save: hundreds of megabytes a step. Only the newest is of use. */
  async #deleteOldSamplers(): Promise<void> {
    if (this.#service.dialect.samplers === "immutable") return;
    const { rest } = this.#service;
    const runId = this.#training.modelId;
    try {
      const { items } = await rest.listCheckpoints(runId);
      const unnamed = items
        .filter(({ checkpoint_type: type }) => type === "sampler")
        .flatMap(({ checkpoint_id: id }) => {
          const match = /(?:^|\/)(ss\d+_seq(\d+))$/.exec(id);
          return match === null ? [] : [{ name: match[1]!, sequence: Number(match[2]) }];
        })
        .sort((a, b) => b.sequence - a.sequence);
      for (const { name } of unnamed.slice(1)) {
        await rest.deleteCheckpoint(formatCheckpointPath({ runId, kind: "sampler_weights", name }));
      }
    } catch {
      // Files that stay cost space, nothing else.
    }
  }

  /** Waits for gradients under way, which tells if one failed. */
  async #settle(): Promise<void> {
    await Promise.all(this.#underWay);
  }

  /** A name that no other save has: names exist for good, and a resumed run saves the same steps again. */
  #name(kind: "state" | "export"): string {
    return `${kind}-${String(this.#version).padStart(6, "0")}-${randomBytes(6).toString("hex")}`;
  }
}

async function draw(
  sampler: SamplingClient,
  request: SampleRequest,
  requestIndex: number,
  signal: AbortSignal,
): Promise<Omit<SampledSequence, "policyVersion">[]> {
  const { prompt, count, seed, temperature, topK, topP, maxTokens, stopTokens } = request;
  if (count === 0) return [];
  const { sequences } = await sampler.sample({
    prompt,
    numSamples: count,
    samplingParams: {
      ...{ maxTokens, seed, temperature, topP },
      ...(topK === 0 ? {} : { topK }),
      ...(stopTokens.length === 0 ? {} : { stop: stopTokens }),
    },
    signal,
  });
  return sequences.map(({ tokens, logprobs, stopReason }, sampleIndex) => {
    if (logprobs?.length !== tokens.length) {
      throw new ProtocolError(
        `The server gave ${logprobs?.length ?? "no"} log-probabilities for a sample of ${tokens.length} tokens`,
      );
    }
    return { requestIndex, sampleIndex, tokens: [...tokens], logprobs, stopReason };
  });
}

/** The training pass has no temperature. */
function requireUnitTemperature({ temperature = 1 }: PassOptions): void {
  if (temperature === 1) return;
  throw new InputError(
    `The Tinker protocol computes log-probabilities at temperature 1, not ${temperature}: set sampling.temperature to 1`,
  );
}

function withoutEntropies(logprobs: Float32Array): TokenLogprobs {
  return { logprobs, entropies: new Float32Array(logprobs.length).fill(Number.NaN) };
}

/** Servers differ in the name: `grad_norm:mean`, `skyrl.ai/grad_norm`. NaN where there is none. */
function gradNormOf(metrics: Readonly<Record<string, number>>): number {
  const name = Object.keys(metrics).find((key) => /(^|[/.])grad_norm(:|$)/.test(key));
  return name === undefined ? Number.NaN : metrics[name]!;
}
