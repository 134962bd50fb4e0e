import { Graph, serialiseModel, subgraph } from "../graph/index.js";
import type { Device, DeviceSession, DeviceTensor, Tensor } from "../runtime/index.js";

/** Copies of float32 tensors between host and device: graphs that hand their input on, one for each rank. */
export class Transfer {
  private readonly sessions = new Map<number, DeviceSession>();

  constructor(private readonly device: Device) {}

  async upload(data: Float32Array, shape: readonly number[]): Promise<DeviceTensor> {
    const session = await this.session(shape.length);
    const { copy } = await session.run({ tensor: { type: "float32", shape, data } }, { copy: "device" });
    return copy;
  }

  /** Fills `data`, which must have as many elements as the tensor. */
  async download(tensor: DeviceTensor, data: Float32Array): Promise<void> {
    const session = await this.session(tensor.shape.length);
    const copy: Tensor = { type: "float32", shape: tensor.shape, data };
    await session.run({ tensor }, { copy });
  }

  async copy(tensor: DeviceTensor): Promise<DeviceTensor> {
    const session = await this.session(tensor.shape.length);
    const { copy } = await session.run({ tensor }, { copy: "device" });
    return copy;
  }

  close(): void {
    for (const session of this.sessions.values()) session.close();
    this.sessions.clear();
  }

  private async session(rank: number): Promise<DeviceSession> {
    let session = this.sessions.get(rank);
    if (!session) {
      session = await this.device.createSession(copyModel(rank, this.device.provider), { name: "transfer" });
      this.sessions.set(rank, session);
    }
    return session;
  }
}

function copyModel(rank: number, provider: Device["provider"]): Uint8Array {
  const graph = new Graph();
  const tensor = graph.input(
    "tensor",
    Array.from({ length: rank }, (_, axis) => `size${axis}`),
  );
  const copy = graph.node("Identity", [tensor], [{ shape: tensor.shape }])[0]!;
  return serialiseModel(subgraph(graph, { copy }), provider);
}
