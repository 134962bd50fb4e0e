import { isAbsolute, join, resolve } from "node:path";
import { assertAvailable, DeviceLanguageModel } from "./device/index.js";
import { FrozenCopy } from "./frozen-copy.js";
import type { ExecutionProvider } from "./runtime/index.js";
import { loadTrainingState, saveTrainingState, Trainer } from "./training/index.js";
import { validateAdamWOptions, validateForwardBackwardOptions, validateSequences } from "./training/validate.js";
import type {
  AdamWOptions,
  AdapterSource,
  ForwardBackwardOptions,
  ForwardBackwardResult,
  FrozenModel,
  LanguageModel,
  LoadOptions,
  ModelInfo,
  ModelSource,
  OptimizerStepResult,
  SampledSequence,
  SampleOptions,
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
  type LoraAdapter,
  type LoraConfig,
  loadAdapter,
  loadCheckpoint,
  loraConfig,
  type OpenedModel,
  type Parameter,
  parseModelConfig,
  readAdapterDescription,
  readJson,
  saveAdapter,
  saveCheckpoint,
} from "./weights/index.js";
import { Workplace } from "./workplace.js";

/**
 * Loads a Hugging Face model directory or a PEFT adapter with its base model, or makes a fresh model from a config.
 * @throws Error that names the file and the key or tensor: missing, unsupported, of a wrong shape, not finite.
 */
export async function loadModel(source: ModelSource, options: LoadOptions = {}): Promise<LanguageModel> {
  const lora = options.lora && loraConfig(options.lora);
  const device = !options.device || options.device === "auto" ? "cpu" : options.device;
  if (device !== "cpu") {
    if (options.frozenWeights === "stored")
      throw new Error(
        `frozenWeights is "stored", but the device "${device}" computes with float32 weights; leave it out.`,
      );
    if (options.frozen)
      throw new Error(`Models that are loaded as \`frozen\` are on the CPU only, not on the device "${device}".`);
    await assertAvailable(device);
  }
  const model = await open(source, lora, options, device);
  const available = model.config.contextLength;
  const contextLength = options.contextLength ?? available;
  if (!Number.isInteger(contextLength) || contextLength < 2 || contextLength > available)
    throw new Error(
      `contextLength is ${contextLength}; this model allows 2 to ${available} (max_position_embeddings).`,
    );
  if (device === "cpu") return EmbeddedLanguageModel.of(model, contextLength, options);
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
  { lora: loraOptions, frozen = lora !== undefined, frozenWeights = "float32" }: LoadOptions,
  device: ExecutionProvider,
): Promise<OpenedModel> {
  const keepHalves = frozenWeights === "stored";
  if ("directory" in source && (await isAdapterDirectory(source.directory)))
    return openAdapter(source.directory, lora, keepHalves);
  if (keepHalves && !frozen)
    throw new Error(
      'frozenWeights is "stored", but all weights are trained and must be float32: set lora or frozen, or leave frozenWeights out.',
    );
  if (keepHalves && !("directory" in source))
    throw new Error('frozenWeights is "stored", but a fresh model comes from no file; leave frozenWeights out.');
  // Gradients of adapters have a store of their own; those of a model on a device are there.
  const options = { gradients: !frozen && device === "cpu", keepHalves };
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

/** Weights and who works on them: one workplace for the weights themselves or a loaded adapter, one for each shape of others. */
interface SharedWeights {
  readonly model: OpenedModel;
  readonly contextLength: number;
  readonly options: LoadOptions;
  readonly workplaces: Map<string, Workplace>;
}

class EmbeddedLanguageModel implements LanguageModel {
  readonly info: ModelInfo;
  private closed = false;

  private constructor(
    private readonly shared: SharedWeights,
    private readonly workplace: Workplace,
  ) {
    this.info = modelInfo(workplace.model, shared.contextLength);
  }

  /** A model with weights of its own. */
  static of(model: OpenedModel, contextLength: number, options: LoadOptions): EmbeddedLanguageModel {
    const workplace = new Workplace(model, contextLength, options);
    const workplaces = new Map([[shapeOf(model.adapter), workplace]]);
    const opened = new EmbeddedLanguageModel({ model, contextLength, options, workplaces }, workplace);
    workplace.join(opened);
    return opened;
  }

  async openAdapter(source: AdapterSource): Promise<LanguageModel> {
    return this.enqueue(async () => {
      const { config } = this.workplace.model;
      const adapter =
        "directory" in source
          ? await loadAdapter(source.directory, config)
          : freshAdapter(config, loraConfig(source), source.seed ?? 0);
      return this.openBeside(adapter);
    });
  }

  async *sample(requests: readonly SampleRequest[], options: SampleOptions = {}): AsyncIterable<SampledSequence> {
    if (this.closed) throw new Error("The model is closed.");
    const leave = await this.workplace.enter(this);
    try {
      yield* this.workplace.generator.generate(requests, options);
    } finally {
      leave();
    }
  }

  async logprobs<S extends TokenSequence>(
    sequences: readonly S[],
    options: ForwardBackwardOptions = {},
  ): Promise<readonly TokenLogprobs[]> {
    this.check(sequences, options);
    return this.enqueue(() => this.workplace.trainer.logprobs(sequences, options));
  }

  /** If it fails or is aborted, the whole gradient since the last optimizer step is dropped. */
  async forwardBackward<S extends TokenSequence>(
    sequences: readonly S[],
    tokenLoss: TokenLoss<S>,
    options: ForwardBackwardOptions = {},
  ): Promise<ForwardBackwardResult<S>> {
    this.check(sequences, options);
    this.checkTrained();
    return this.enqueue(async () => {
      try {
        return await this.workplace.trainer.forwardBackward(sequences, tokenLoss, options);
      } catch (error) {
        // Some micro-batches may have been added: half a gradient must never reach an optimizer step.
        this.workplace.trained.gradients.fill(0);
        throw error;
      }
    });
  }

  async optimizerStep(options: AdamWOptions): Promise<OptimizerStepResult> {
    validateAdamWOptions(options);
    this.checkTrained();
    return this.enqueue(async () => {
      this.checkUnshared();
      return this.workplace.adamW.step(options);
    });
  }

  async saveState(directory: string): Promise<void> {
    this.checkTrained();
    return this.enqueue(() => saveTrainingState(directory, this.workplace.trained, this.workplace.adamW.state));
  }

  async loadState(directory: string): Promise<void> {
    this.checkTrained();
    return this.enqueue(async () => {
      this.checkUnshared();
      await loadTrainingState(directory, this.workplace.trained, this.workplace.adamW.state);
    });
  }

  async exportModel(directory: string, options: { dtype?: "float32" | "bfloat16" | "float16" } = {}): Promise<void> {
    return this.enqueue(() => saveCheckpoint(directory, this.workplace.model, options));
  }

  async exportAdapter(directory: string): Promise<void> {
    const { adapter } = this.workplace.model;
    if (!adapter) throw new Error("The model has no adapters to export; export the model, or load it with `lora`.");
    return this.enqueue(() => saveAdapter(directory, adapter, this.shared.model.directory));
  }

  async freeze(): Promise<FrozenModel> {
    return this.enqueue(async () => {
      const { config, parameters, adapter } = this.workplace.model;
      const { options } = this.shared;
      if (!adapter) return new FrozenCopy(new Trainer(config, parameters.copyWeights(), options), this.info);
      const copy = isNeutral(adapter) ? undefined : { ...adapter, parameters: adapter.parameters.copyWeights() };
      return new FrozenCopy(new Trainer(config, parameters, { ...options, adapter: copy }), this.info);
    });
  }

  parameters(): ReturnType<LanguageModel["parameters"]> {
    if (!this.workplace.isAlone(this))
      throw new Error("The parameters of an adapter beside others of its shape have no views; export them.");
    const { parameters, adapter } = this.workplace.model;
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
    this.closed = true;
    const left = this.workplace.leave(this);
    if (this.workplace.isAbandoned) this.shared.workplaces.delete(shapeOf(this.workplace.model.adapter));
    await left;
  }

  /** A model of the same weights with this adapter, at the workplace for its shape. */
  private openBeside(adapter: LoraAdapter): EmbeddedLanguageModel {
    const { model, contextLength, options, workplaces } = this.shared;
    const existing = workplaces.get(shapeOf(adapter));
    const workplace = existing ?? new Workplace({ ...model, adapter }, contextLength, options);
    workplaces.set(shapeOf(adapter), workplace);
    const opened = new EmbeddedLanguageModel(this.shared, workplace);
    workplace.join(opened, existing && adapter.parameters.data);
    return opened;
  }

  private checkTrained(): void {
    if (this.shared.options.frozen && this.info.lora === null)
      throw new Error("The weights are frozen: open an adapter beside them, or load the model without `frozen`.");
  }

  /** Weights that adapters lie beside stay as they are. */
  private checkUnshared(): void {
    if (this.info.lora === null && [...this.shared.workplaces.values()].some((other) => other !== this.workplace))
      throw new Error("The weights are shared with open adapters and must not change; close those first.");
  }

  private enqueue<T>(task: () => Promise<T>): Promise<T> {
    if (this.closed) return Promise.reject(new Error("The model is closed."));
    return this.workplace.run(this, task);
  }

  private check(sequences: readonly TokenSequence[], options: ForwardBackwardOptions): void {
    validateForwardBackwardOptions(options);
    validateSequences(sequences, this.info);
  }
}

/** Names the graphs and arrays that an adapter needs: adapters with equal names can take each other's place. */
function shapeOf(adapter: LoraAdapter | undefined): string {
  return adapter ? JSON.stringify(adapter.config) : "weights";
}
