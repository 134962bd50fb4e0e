import type { DeviceTensor } from "../runtime/index.js";
import type { AdamWState } from "../training/index.js";
import { floatsOf, type Parameter, type ParameterStore } from "../weights/index.js";
import type { Transfer } from "./transfer.js";

/** What the device holds of one parameter. */
interface Resident {
  weight: DeviceTensor;
  /** Absent: zero, until a backward pass or after a step. */
  gradient?: DeviceTensor | undefined;
  /** Absent: zero, until the first optimizer step. */
  moments?: Moments | undefined;
}

export interface Moments {
  readonly first: DeviceTensor;
  readonly second: DeviceTensor;
}

/**
 * Weights of a store (a model's or its adapters'), their gradients and moments on a device. Tensors never change there: a pass or a step hands in the new
 * ones, and the old ones are released. The store on the host keeps names and shapes; its numbers are those of the last
 * `upload` or `download`.
 */
export class DeviceParameters {
  private readonly residents = new Map<string, Resident>();

  private constructor(
    readonly store: ParameterStore,
    private readonly transfer: Transfer,
  ) {}

  static async upload(store: ParameterStore, transfer: Transfer): Promise<DeviceParameters> {
    const parameters = new DeviceParameters(store, transfer);
    for (const parameter of store.parameters.values()) {
      const weight = await transfer.upload(floatsOf(parameter), parameter.shape);
      parameters.residents.set(parameter.name, { weight });
    }
    return parameters;
  }

  /** The weights once more, without gradients and moments, made by another transfer, whose device they then belong to. */
  async copy(transfer: Transfer): Promise<DeviceParameters> {
    const copy = new DeviceParameters(this.store, transfer);
    for (const [name, { weight }] of this.residents) copy.residents.set(name, { weight: await transfer.copy(weight) });
    return copy;
  }

  get all(): Iterable<Parameter> {
    return this.store.parameters.values();
  }

  /** By their Hugging Face names. */
  weights(): Record<string, DeviceTensor> {
    return Object.fromEntries([...this.residents].map(([name, { weight }]) => [name, weight]));
  }

  weight(name: string): DeviceTensor {
    return this.resident(name).weight;
  }

  get hasGradients(): boolean {
    return [...this.residents.values()].some(({ gradient }) => gradient !== undefined);
  }

  async gradient(name: string): Promise<DeviceTensor> {
    const resident = this.resident(name);
    resident.gradient ??= await this.zeros(name);
    return resident.gradient;
  }

  async moments(name: string): Promise<Moments> {
    const resident = this.resident(name);
    resident.moments ??= { first: await this.zeros(name), second: await this.zeros(name) };
    return resident.moments;
  }

  setGradient(name: string, gradient: DeviceTensor): void {
    const resident = this.resident(name);
    resident.gradient?.release();
    resident.gradient = gradient;
  }

  update(name: string, weight: DeviceTensor, moments: Moments): void {
    const resident = this.resident(name);
    resident.weight.release();
    resident.weight = weight;
    releaseMoments(resident);
    resident.moments = moments;
  }

  clearGradients(): void {
    for (const resident of this.residents.values()) {
      resident.gradient?.release();
      resident.gradient = undefined;
    }
  }

  /** Brings the host's weights up to date. */
  async download(): Promise<void> {
    for (const { name, data } of this.all) await this.transfer.download(this.resident(name).weight, data);
  }

  /** The gradient of one parameter, for tests. */
  async downloadGradient(name: string): Promise<Float32Array> {
    const data = new Float32Array(this.store.get(name).data.length);
    await this.transfer.download(await this.gradient(name), data);
    return data;
  }

  async downloadMoments({ firstMoment, secondMoment }: AdamWState): Promise<void> {
    for (const { name, offset, data } of this.all) {
      const { moments } = this.resident(name);
      if (!moments) continue;
      const end = offset + data.length;
      await this.transfer.download(moments.first, firstMoment.subarray(offset, end));
      await this.transfer.download(moments.second, secondMoment.subarray(offset, end));
    }
  }

  /** Replaces weights and moments by the host's, and drops the gradients. */
  async replace({ firstMoment, secondMoment }: AdamWState): Promise<void> {
    for (const { name, offset, data, shape } of this.all) {
      const end = offset + data.length;
      this.update(name, await this.transfer.upload(data, shape), {
        first: await this.transfer.upload(firstMoment.subarray(offset, end), shape),
        second: await this.transfer.upload(secondMoment.subarray(offset, end), shape),
      });
    }
    this.clearGradients();
  }

  release(): void {
    this.clearGradients();
    for (const resident of this.residents.values()) {
      resident.weight.release();
      releaseMoments(resident);
    }
    this.residents.clear();
  }

  private zeros(name: string): Promise<DeviceTensor> {
    const { data, shape } = this.store.get(name);
    return this.transfer.upload(new Float32Array(data.length), shape);
  }

  private resident(name: string): Resident {
    const resident = this.residents.get(name);
    if (!resident) throw new Error(`The model has no parameter "${name}"`);
    return resident;
  }
}

function releaseMoments({ moments }: Resident): void {
  moments?.first.release();
  moments?.second.release();
}
