import { isAbsolute, join, resolve } from "node:path";
import { CallQueue } from "./call-queue.js";
import { assertAvailable, DeviceLanguageModel } from "./device/index.js";
import { Generator } from "./generation/index.js";
import type { ExecutionProvider } from "./runtime/index.js";
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
  floatsOf,
  freshAdapter,
  initializeParameters,
  isAdapterDirectory,
  isNeutral,
  type LoadedModel,
  type LoraConfig,
  loadAdapter,
  loadCheckpoint,
  loraConfig,
  type Parameter,
  type ParameterStore,
  parseModelConfig,
  readAdapterDescription,
  readJson,
  saveAdapter,
  saveCheckpoint,
} from "./weights/index.js";

/** A model and where its weights come from, for the description of an adapter. */
interface OpenedModel extends LoadedModel {
  readonly directory: string | null;
}

/**
 * Loads a Hugging Face model directory or a PEFT adapter with its base model, or makes a fresh model from a config.
 * @throws Error that names the file and the key or tensor: missing, unsupported, of a wrong shape, not finite.
 */
export async function loadModel(source: ModelSource, options: LoadOptions = {}): Promise<LanguageModel> {
  const lora = options.lora && loraConfig(options.lora);
  const device = !options.device || options.device === "auto" ? "cpu" : options.device;
  if (device !== "cpu") {
    if (lora) throw new Error(`Adapters (lora) are trained on the CPU only, not on the device "${device}".`);
    await assertAvailable(device);
  }
  const model = await open(source, lora, options, device);
  const available = model.config.contextLength;
  const contextLength = options.contextLength ?? available;
  if (!Number.isInteger(contextLength) || contextLength < 2 || contextLength > available)
    throw new Error(
      `contextLength is ${contextLength}; this model allows 2 to ${available} (max_position_embeddings).`,
    );
  if (device === "cpu") return new EmbeddedLanguageModel(model, contextLength, options);
  if (model.adapter)
    throw new Error(
      `Adapters run on the CPU only, not on the device "${device}"; export the merged model and load that.`,
    );
  return DeviceLanguageModel.open(device, model, modelInfo(model, contextLength));
}

function modelInfo({ config, parameters, eosTokenIds, adapter }: LoadedModel, contextLength: number): ModelInfo {
  return {
    architecture: config.architecture,
    vocabularySize: config.vocabularySize,
    contextLength,
    parameterCount: parameters.parameterCount,
    trainedParameterCount: (adapter?.parameters ?? parameters).parameterCount,
    lora: adapter?.config ?? null,
    device: "cpu",
    eosTokenIds,
  };
}

async function open(
  source: ModelSource,
  lora: LoraConfig | undefined,
  { lora: loraOptions, frozenWeights = "float32" }: LoadOptions,
  device: ExecutionProvider,
): Promise<OpenedModel> {
  const keepHalves = frozenWeights === "stored";
  if ("directory" in source && (await isAdapterDirectory(source.directory)))
    return openAdapter(source.directory, lora, keepHalves);
  if (keepHalves && !lora)
    throw new Error(
      'frozenWeights is "stored", but all weights are trained and must be float32: set lora, or leave frozenWeights out.',
    );
  if (keepHalves && !("directory" in source))
    throw new Error('frozenWeights is "stored", but a fresh model comes from no file; leave frozenWeights out.');
  // Gradients of adapters have a store of their own; those of a model on a device are there.
  const options = { gradients: lora === undefined && device === "cpu", keepHalves };
  const model =
    "directory" in source ? await loadCheckpoint(source.directory, options) : await freshModel(source, options);
  return {
    ...model,
    directory: "directory" in source ? resolve(source.directory) : null,
    adapter: lora && freshAdapter(model.config, lora, loraOptions?.seed ?? 0),
  };
}

async function openAdapter(directory: string, lora: LoraConfig | undefined, keepHalves: boolean): Promise<OpenedModel> {
  const { lora: found, baseModel } = await readAdapterDescription(directory);
  if (lora && (lora.rank !== found.rank || lora.alpha !== found.alpha || lora.targets.join() !== found.targets.join()))
    throw new Error(
      `${directory}: this adapter has rank ${found.rank}, alpha ${found.alpha} and targets ${found.targets.join(", ")}, but rank ${lora.rank}, alpha ${lora.alpha} and targets ${lora.targets.join(", ")} were asked for; leave them out or make them agree.`,
    );
  if (baseModel === undefined)
    throw new Error(`${join(directory, "adapter_config.json")}: base_model_name_or_path is missing`);
  const base = isAbsolute(baseModel) ? baseModel : resolve(directory, baseModel);
  const model = await loadCheckpoint(base, { gradients: false, keepHalves }).catch((cause: unknown) => {
    throw new Error(
      `${join(directory, "adapter_config.json")}: base_model_name_or_path is "${baseModel}"; it must be the directory of the base model (absolute, or relative to the adapter): ${(cause as Error).message}`,
      { cause },
    );
  });
  return { ...model, directory: base, adapter: await loadAdapter(directory, model.config) };
}

async function freshModel(
  source: Extract<ModelSource, { seed: number }>,
  options: { readonly gradients: boolean },
): Promise<LoadedModel> {
  const path = typeof source.config === "string" ? source.config : "config";
  const json: unknown = typeof source.config === "string" ? await readJson(source.config) : source.config;
  const config = parseModelConfig(json, path);
  const parameters = initializeParameters(config, source.seed, options);
  return { config, parameters, generationConfig: undefined, eosTokenIds: config.eosTokenIds };
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
    private readonly model: OpenedModel,
    contextLength: number,
    private readonly options: LoadOptions,
  ) {
    const { config, parameters, adapter } = model;
    this.trainer = new Trainer(config, parameters, { ...options, adapter });
    this.generator = new Generator(config, parameters, { ...options, contextLength, adapter });
    this.info = modelInfo(model, contextLength);
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
        this.trained.gradients.fill(0);
        throw error;
      }
    });
  }

  async optimizerStep(options: AdamWOptions): Promise<OptimizerStepResult> {
    validateAdamWOptions(options);
    return this.enqueue(async () => this.adamW().step(options));
  }

  async saveState(directory: string): Promise<void> {
    return this.enqueue(() => saveTrainingState(directory, this.trained, this.adamW().state));
  }

  async loadState(directory: string): Promise<void> {
    return this.enqueue(() => loadTrainingState(directory, this.trained, this.adamW().state));
  }

  async exportModel(directory: string, options: { dtype?: "float32" | "bfloat16" | "float16" } = {}): Promise<void> {
    return this.enqueue(() => saveCheckpoint(directory, this.model, options));
  }

  async exportAdapter(directory: string): Promise<void> {
    const { adapter, directory: base } = this.model;
    if (!adapter) throw new Error("The model has no adapters to export; export the model, or load it with `lora`.");
    return this.enqueue(() => saveAdapter(directory, adapter, base));
  }

  async freeze(): Promise<FrozenModel> {
    return this.enqueue(async () => {
      const { config, parameters, adapter } = this.model;
      if (!adapter) return new FrozenCopy(new Trainer(config, parameters.copyWeights(), this.options), this.info);
      const copy = isNeutral(adapter) ? undefined : { ...adapter, parameters: adapter.parameters.copyWeights() };
      return new FrozenCopy(new Trainer(config, parameters, { ...this.options, adapter: copy }), this.info);
    });
  }

  parameters(): ReturnType<LanguageModel["parameters"]> {
    const { parameters, adapter } = this.model;
    const all = [...parameters.parameters, ...(adapter?.parameters.parameters ?? [])];
    const view = (parameter: Parameter) => ({
      shape: parameter.shape,
      gradient: parameter.gradient,
      get data() {
        return floatsOf(parameter);
      },
    });
    return new Map(all.map(([name, parameter]) => [name, view(parameter)]));
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

  /** What the optimizer changes. */
  private get trained(): ParameterStore {
    return this.model.adapter?.parameters ?? this.model.parameters;
  }

  private adamW(): AdamW {
    this.optimizer ??= new AdamW(this.trained, createAdamWState(this.trained), this.options.threads);
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
