import { readFile } from "node:fs/promises";
import { CallQueue } from "./call-queue.js";
import { Generator } from "./generation/index.js";
import { AdamW, createAdamWState, loadTrainingState, saveTrainingState, Trainer } from "./training/index.js";
import { validateAdamWOptions, validateForwardBackwardOptions, validateSequences } from "./training/validate.js";
import type {
  AdamWOptions,
  ForwardBackwardOptions,
  ForwardBackwardResult,
  FrozenModel,
  LanguageModel,
  LoadOptions,
  ModelInfo,
  ModelSource,
  OptimizerStepResult,
  SampledSequence,
  SampleRequest,
  TokenLogprobs,
  TokenLoss,
  TokenSequence,
} from "./types.js";
import {
  initializeParameters,
  type LoadedModel,
  loadCheckpoint,
  parseModelConfig,
  saveCheckpoint,
} from "./weights/index.js";

/**
 * Loads a Hugging Face model directory, or makes a fresh model from a config.
 * @throws Error that names the file and the key or tensor: missing, unsupported, of a wrong shape, not finite.
 */
export async function loadModel(source: ModelSource, options: LoadOptions = {}): Promise<LanguageModel> {
  const model = "directory" in source ? await loadCheckpoint(source.directory) : await freshModel(source);
  const available = model.config.contextLength;
  const contextLength = options.contextLength ?? available;
  if (!Number.isInteger(contextLength) || contextLength < 2 || contextLength > available)
    throw new Error(
      `contextLength is ${contextLength}; this model allows 2 to ${available} (max_position_embeddings).`,
    );
  return new EmbeddedLanguageModel(model, contextLength, options);
}

async function freshModel(source: Extract<ModelSource, { seed: number }>): Promise<LoadedModel> {
  const path = typeof source.config === "string" ? source.config : "config";
  const json: unknown = typeof source.config === "string" ? await readJson(source.config) : source.config;
  const config = parseModelConfig(json, path);
  const parameters = initializeParameters(config, source.seed);
  return { config, parameters, generationConfig: undefined, eosTokenIds: config.eosTokenIds };
}

async function readJson(path: string): Promise<unknown> {
  const text = await readFile(path, "utf8").catch((cause: unknown) => {
    throw new Error(`${path}: cannot read the config: ${(cause as Error).message}`, { cause });
  });
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Error(`${path}: not valid JSON: ${(cause as Error).message}`, { cause });
  }
}

class EmbeddedLanguageModel implements LanguageModel {
  readonly info: ModelInfo;
  private readonly queue = new CallQueue();
  private readonly trainer: Trainer;
  private readonly generator: Generator;
  /** Made at the first optimizer step: a model that is only sampled needs no moments. */
  private optimizer: AdamW | undefined;
  private closed = false;

  constructor(
    private readonly model: LoadedModel,
    contextLength: number,
    private readonly options: LoadOptions,
  ) {
    const { config, parameters, eosTokenIds } = model;
    this.trainer = new Trainer(config, parameters, options);
    this.generator = new Generator(config, parameters, { ...options, contextLength });
    this.info = {
      architecture: config.architecture,
      vocabularySize: config.vocabularySize,
      contextLength,
      parameterCount: parameters.parameterCount,
      device: "cpu",
      eosTokenIds,
    };
  }

  async *sample(
    requests: readonly SampleRequest[],
    options: { signal?: AbortSignal } = {},
  ): AsyncIterable<SampledSequence> {
    if (this.closed) throw new Error("The model is closed.");
    const leave = await this.queue.enter();
    try {
      yield* this.generator.generate(requests, options);
    } finally {
      leave();
    }
  }

  async logprobs<S extends TokenSequence>(
    sequences: readonly S[],
    options: ForwardBackwardOptions = {},
  ): Promise<readonly TokenLogprobs[]> {
    this.check(sequences, options);
    return this.enqueue(() => this.trainer.logprobs(sequences, options));
  }

  /** If it fails or is aborted, the whole gradient since the last optimizer step is dropped. */
  async forwardBackward<S extends TokenSequence>(
    sequences: readonly S[],
    tokenLoss: TokenLoss<S>,
    options: ForwardBackwardOptions = {},
  ): Promise<ForwardBackwardResult<S>> {
    this.check(sequences, options);
    return this.enqueue(async () => {
      try {
        return await this.trainer.forwardBackward(sequences, tokenLoss, options);
      } catch (error) {
        // Some micro-batches may have been added: half a gradient must never reach an optimizer step.
        this.model.parameters.gradients.fill(0);
        throw error;
      }
    });
  }

  async optimizerStep(options: AdamWOptions): Promise<OptimizerStepResult> {
    validateAdamWOptions(options);
    return this.enqueue(async () => this.adamW().step(options));
  }

  async saveState(directory: string): Promise<void> {
    return this.enqueue(() => saveTrainingState(directory, this.model.parameters, this.adamW().state));
  }

  async loadState(directory: string): Promise<void> {
    return this.enqueue(() => loadTrainingState(directory, this.model.parameters, this.adamW().state));
  }

  async exportModel(directory: string, options: { dtype?: "float32" | "bfloat16" | "float16" } = {}): Promise<void> {
    return this.enqueue(() => saveCheckpoint(directory, this.model, options));
  }

  async freeze(): Promise<FrozenModel> {
    return this.enqueue(async () => {
      const { config, parameters } = this.model;
      return new FrozenCopy(new Trainer(config, parameters.copyWeights(config), this.options), this.info);
    });
  }

  parameters(): ReturnType<LanguageModel["parameters"]> {
    return this.model.parameters.parameters;
  }

  async close(): Promise<void> {
    if (this.closed) return;
    const closing = this.enqueue(async () => {
      this.trainer.close();
      this.generator.close();
      this.optimizer?.close();
    });
    this.closed = true;
    await closing;
  }

  private adamW(): AdamW {
    const { parameters } = this.model;
    this.optimizer ??= new AdamW(parameters, createAdamWState(parameters), this.options.threads);
    return this.optimizer;
  }

  private enqueue<T>(task: () => Promise<T>): Promise<T> {
    if (this.closed) return Promise.reject(new Error("The model is closed."));
    return this.queue.run(task);
  }

  private check(sequences: readonly TokenSequence[], options: ForwardBackwardOptions): void {
    validateForwardBackwardOptions(options);
    validateSequences(sequences, this.info);
  }
}

class FrozenCopy implements FrozenModel {
  private readonly queue = new CallQueue();
  private closed = false;

  constructor(
    private readonly trainer: Trainer,
    private readonly info: ModelInfo,
  ) {}

  async logprobs<S extends TokenSequence>(
    sequences: readonly S[],
    options: ForwardBackwardOptions = {},
  ): Promise<readonly TokenLogprobs[]> {
    if (this.closed) throw new Error("The frozen model is closed.");
    validateForwardBackwardOptions(options);
    validateSequences(sequences, this.info);
    return this.queue.run(() => this.trainer.logprobs(sequences, options));
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await this.queue.run(async () => this.trainer.close());
  }
}
