import { CallQueue } from "../call-queue.js";
import { FrozenCopy } from "../frozen-copy.js";
import type { DeviceProvider } from "../runtime/index.js";
import { createAdamWState, loadTrainingState, saveTrainingState } from "../training/index.js";
import { validateAdamWOptions, validateForwardBackwardOptions, validateSequences } from "../training/validate.js";
import type {
  AdamWOptions,
  ForwardBackwardOptions,
  ForwardBackwardResult,
  FrozenModel,
  LanguageModel,
  ModelInfo,
  OptimizerStepResult,
  SampledSequence,
  SampleOptions,
  SampleRequest,
  TokenLogprobs,
  TokenLoss,
  TokenSequence,
} from "../types.js";
import { type OpenedModel, saveAdapter, saveCheckpoint } from "../weights/index.js";
import { DeviceModel } from "./device-model.js";

/** A language model on a device (see `DeviceModel`): the same contract as on the CPU. */
export class DeviceLanguageModel implements LanguageModel {
  private readonly queue = new CallQueue();
  private closed = false;

  private constructor(
    private readonly model: OpenedModel,
    private readonly device: DeviceModel,
    readonly info: ModelInfo,
  ) {}

  /**
   * Moves a model to a device; `info.device` says which.
   * @throws Error if the provider has no device here.
   */
  static async open(provider: DeviceProvider, model: OpenedModel, info: ModelInfo): Promise<DeviceLanguageModel> {
    const device = await DeviceModel.open(provider, model, info.contextLength);
    return new DeviceLanguageModel(model, device, { ...info, device: provider });
  }

  async *sample(requests: readonly SampleRequest[], options: SampleOptions = {}): AsyncIterable<SampledSequence> {
    if (this.closed) throw new Error("The model is closed.");
    if (options.precision === "int8")
      throw new Error(`Sampling in int8 runs on the CPU only, not on the device "${this.info.device}"; use float32.`);
    const leave = await this.queue.enter();
    try {
      yield* this.device.generator.generate(requests, options);
    } finally {
      leave();
    }
  }

  async logprobs<S extends TokenSequence>(
    sequences: readonly S[],
    options: ForwardBackwardOptions = {},
  ): Promise<readonly TokenLogprobs[]> {
    this.check(sequences, options);
    return this.enqueue(() => this.device.trainer.logprobs(sequences, options));
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
        return await this.device.trainer.forwardBackward(sequences, tokenLoss, options);
      } catch (error) {
        this.device.trained.clearGradients();
        throw error;
      }
    });
  }

  async optimizerStep(options: AdamWOptions): Promise<OptimizerStepResult> {
    validateAdamWOptions(options);
    return this.enqueue(() => this.device.optimizer.step(options));
  }

  async saveState(directory: string): Promise<void> {
    return this.enqueue(async () => {
      const state = await this.device.downloadState();
      await saveTrainingState(directory, this.device.trained.store, state);
    });
  }

  async loadState(directory: string): Promise<void> {
    return this.enqueue(async () => {
      const { store } = this.device.trained;
      const state = createAdamWState(store);
      await loadTrainingState(directory, store, state);
      await this.device.uploadState(state);
    });
  }

  async exportModel(directory: string, options: { dtype?: "float32" | "bfloat16" | "float16" } = {}): Promise<void> {
    return this.enqueue(async () => {
      await this.device.trained.download();
      await saveCheckpoint(directory, this.model, options);
    });
  }

  async exportAdapter(directory: string): Promise<void> {
    const { adapter, directory: base } = this.model;
    if (!adapter) throw new Error("The model has no adapters to export; export the model, or load it with `lora`.");
    return this.enqueue(async () => {
      await this.device.trained.download();
      await saveAdapter(directory, adapter, base);
    });
  }

  async openAdapter(): Promise<never> {
    throw new Error(
      "Several adapters beside one model are trained on the CPU only; load the model with `lora` for one on a device.",
    );
  }

  async freeze(): Promise<FrozenModel> {
    return this.enqueue(async () => {
      const copy = await this.device.copy();
      const evaluator = {
        logprobs: (sequences: readonly TokenSequence[], options: ForwardBackwardOptions) =>
          copy.trainer.logprobs(sequences, options),
        close: () => copy.close(),
      };
      return new FrozenCopy(evaluator, this.info);
    });
  }

  parameters(): never {
    throw new Error(`The parameters are on the ${this.info.device} device: write them with saveState or exportModel.`);
  }

  async close(): Promise<void> {
    if (this.closed) return;
    const closing = this.enqueue(() => this.device.close());
    this.closed = true;
    await closing;
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
