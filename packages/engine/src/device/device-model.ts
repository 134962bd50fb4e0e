import { Device, type DeviceProvider } from "../runtime/index.js";
import { type AdamWState, createAdamWState } from "../training/index.js";
import type { LoadedModel } from "../weights/index.js";
import { DeviceWeights } from "./device-weights.js";
import { DeviceGenerator } from "./generator.js";
import { DeviceAdamW } from "./optimizer.js";
import type { DeviceParameters } from "./parameters.js";
import { DeviceRotary } from "./rotary.js";
import { DeviceTrainer } from "./trainer.js";
import { Transfer } from "./transfer.js";

/**
 * A model on a device: weights, adapters, gradients, optimizer state and, while sampling, keys and values live there. What is
 * written to files comes back to the host's store first. One call at a time.
 */
export class DeviceModel {
  readonly trainer: DeviceTrainer;
  readonly optimizer: DeviceAdamW;
  readonly generator: DeviceGenerator;
  private readonly rotary: DeviceRotary;

  private constructor(
    private readonly model: LoadedModel,
    private readonly contextLength: number,
    private readonly device: Device,
    private readonly transfer: Transfer,
    private readonly weights: DeviceWeights,
  ) {
    const { config } = model;
    this.rotary = new DeviceRotary(transfer, config);
    this.trainer = new DeviceTrainer(device, transfer, config, weights, this.rotary);
    this.optimizer = new DeviceAdamW(device, transfer, weights.trained);
    this.generator = new DeviceGenerator(device, transfer, config, weights, this.rotary, contextLength);
  }

  /** @throws Error if the provider has no device here. */
  static async open(provider: DeviceProvider, model: LoadedModel, contextLength: number): Promise<DeviceModel> {
    const device = new Device(provider);
    const transfer = new Transfer(device);
    const weights = await DeviceWeights.upload(model, transfer);
    return new DeviceModel(model, contextLength, device, transfer, weights);
  }

  /** The weights as they are now, in memory of their own. */
  async copy(): Promise<DeviceModel> {
    const device = new Device(this.device.provider);
    const transfer = new Transfer(device);
    const weights = await this.weights.copy(transfer);
    return new DeviceModel(this.model, this.contextLength, device, transfer, weights);
  }

  /** What the optimizer changes: weights, gradients and moments. */
  get trained(): DeviceParameters {
    return this.weights.trained;
  }

  /** Trained weights come to the host's store; moments and the number of steps are returned. */
  async downloadState(): Promise<AdamWState> {
    const state = createAdamWState(this.trained.store);
    state.step = this.optimizer.stepCount;
    await this.trained.download();
    await this.trained.downloadMoments(state);
    return state;
  }

  /** Continues with the weights of the host's store and this optimizer state. */
  async uploadState(state: AdamWState): Promise<void> {
    await this.trained.replace(state);
    this.optimizer.stepCount = state.step;
  }

  async close(): Promise<void> {
    // Tensors go before the sessions that made them.
    this.weights.release();
    this.rotary.release();
    await this.trainer.close();
    this.optimizer.close();
    this.generator.close();
    this.transfer.close();
    this.device.close();
  }
}
