import type { DeviceTensor } from "../runtime/index.js";
import type { LoadedModel, LoraConfig } from "../weights/index.js";
import { DeviceParameters } from "./parameters.js";
import type { Transfer } from "./transfer.js";

/** What a model on a device consists of: its weights and, with LoRA, the adapters beside them, which alone are trained. */
export class DeviceWeights {
  private constructor(
    private readonly base: DeviceParameters,
    private readonly adapters: DeviceParameters | undefined,
    readonly lora: LoraConfig | undefined,
  ) {}

  static async upload({ parameters, adapter }: LoadedModel, transfer: Transfer): Promise<DeviceWeights> {
    const base = await DeviceParameters.upload(parameters, transfer);
    const adapters = adapter && (await DeviceParameters.upload(adapter.parameters, transfer));
    return new DeviceWeights(base, adapters, adapter?.config);
  }

  /** The weights as they are now, without gradients and moments, in memory of another device. */
  async copy(transfer: Transfer): Promise<DeviceWeights> {
    return new DeviceWeights(await this.base.copy(transfer), await this.adapters?.copy(transfer), this.lora);
  }

  /** What the optimizer changes. */
  get trained(): DeviceParameters {
    return this.adapters ?? this.base;
  }

  /** All weights under their Hugging Face names: what every graph of the model is fed. */
  feeds(): Record<string, DeviceTensor> {
    return { ...this.base.weights(), ...this.adapters?.weights() };
  }

  release(): void {
    this.base.release();
    this.adapters?.release();
  }
}
