import { rotaryTables } from "../model/index.js";
import type { DeviceTensor } from "../runtime/index.js";
import type { ModelConfig } from "../weights/index.js";
import type { Transfer } from "./transfer.js";

interface Tables {
  readonly positions: number;
  readonly cosine: DeviceTensor;
  readonly sine: DeviceTensor;
}

/** The cosine and sine tables on a device, for as many positions as were ever asked for. */
export class DeviceRotary {
  private tables: Tables | undefined;

  constructor(
    private readonly transfer: Transfer,
    private readonly config: ModelConfig,
  ) {}

  /** At least so many positions. The tensors stay this object's. */
  async feeds(positions: number): Promise<{ readonly cosine: DeviceTensor; readonly sine: DeviceTensor }> {
    if (!this.tables || this.tables.positions < positions) {
      const count = Math.max(positions, 2 * (this.tables?.positions ?? 0));
      this.release();
      const { cosine, sine } = rotaryTables(this.config.inverseFrequencies, count);
      const shape = [count, this.config.headDimension / 2];
      this.tables = {
        positions: count,
        cosine: await this.transfer.upload(cosine, shape),
        sine: await this.transfer.upload(sine, shape),
      };
    }
    const { cosine, sine } = this.tables;
    return { cosine, sine };
  }

  release(): void {
    this.tables?.cosine.release();
    this.tables?.sine.release();
    this.tables = undefined;
  }
}
