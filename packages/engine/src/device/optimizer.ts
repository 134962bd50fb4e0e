import { Graph, reduceSum, reshape, type Shape, serialiseModel, subgraph } from "../graph/index.js";
import type { Device, DeviceSession, DeviceTensor, Tensor } from "../runtime/index.js";
import { adamWCoefficients, coefficientNames, updateModel } from "../training/adamw.js";
import type { AdamWOptions, OptimizerStepResult } from "../types.js";
import type { DeviceParameters } from "./parameters.js";
import type { Transfer } from "./transfer.js";

interface Sessions {
  readonly squares: DeviceSession;
  readonly update: DeviceSession;
}

/** AdamW as `training/adamw.ts` does it, with weights, moments and gradients on a device: the norm alone comes back. */
export class DeviceAdamW {
  /** Updates done. */
  stepCount = 0;
  /** By the rank of the parameter. */
  private readonly sessions = new Map<number, Sessions>();

  constructor(
    private readonly device: Device,
    private readonly transfer: Transfer,
    private readonly parameters: DeviceParameters,
  ) {}

  /** One update; clears the gradient. A gradient whose norm is not finite is dropped, and nothing else changes. */
  async step(options: AdamWOptions): Promise<OptimizerStepResult> {
    const { parameters } = this;
    const gradNorm = await this.gradientNorm();
    if (!Number.isFinite(gradNorm)) {
      parameters.clearGradients();
      return { gradNorm, skipped: true };
    }
    this.stepCount++;
    const coefficients = adamWCoefficients(options, this.stepCount, gradNorm);
    for (const { name, shape } of parameters.all) {
      const { update } = await this.sessionsFor(shape.length);
      const { first, second } = await parameters.moments(name);
      const feeds: Record<string, Tensor | DeviceTensor> = {
        weight: parameters.weight(name),
        first,
        second,
        gradient: await parameters.gradient(name),
      };
      for (const key of coefficientNames) {
        const value = key === "keep" && shape.length < 2 ? 1 : coefficients[key];
        feeds[key] = { type: "float32", shape: [], data: Float32Array.of(value) };
      }
      const { newWeight, newFirst, newSecond } = await update.run(feeds, {
        newWeight: "device",
        newFirst: "device",
        newSecond: "device",
      });
      parameters.update(name, newWeight, { first: newFirst, second: newSecond });
    }
    parameters.clearGradients();
    return { gradNorm, skipped: false };
  }

  close(): void {
    for (const { squares, update } of this.sessions.values()) {
      squares.close();
      update.close();
    }
    this.sessions.clear();
  }

  private async gradientNorm(): Promise<number> {
    let total: DeviceTensor = await this.transfer.upload(new Float32Array(1), [1]);
    for (const { name, shape } of this.parameters.all) {
      const { squares } = await this.sessionsFor(shape.length);
      const gradient = await this.parameters.gradient(name);
      const { sum } = await squares.run({ gradient, total }, { sum: "device" });
      total.release();
      total = sum;
    }
    const result = new Float32Array(1);
    await this.transfer.download(total, result);
    total.release();
    return Math.sqrt(result[0]!);
  }

  private async sessionsFor(rank: number): Promise<Sessions> {
    let sessions = this.sessions.get(rank);
    if (!sessions) {
      const { device } = this;
      const shape = rank === 1 ? ["size"] : ["rows", "columns"];
      sessions = {
        squares: await device.createSession(squaresModel(shape, device.provider), { name: "gradient norm" }),
        update: await device.createSession(updateModel(shape, device.provider), { name: "AdamW" }),
      };
      this.sessions.set(rank, sessions);
    }
    return sessions;
  }
}

/** total [1] + Σ gradient². Row by row first: a device sums each row with a thread of its own. */
function squaresModel(shape: Shape, provider: Device["provider"]): Uint8Array {
  const graph = new Graph();
  const gradient = graph.input("gradient", shape);
  const total = graph.input("total", [1]);
  const last = graph.integers([shape.length - 1]);
  const rowShape: Shape = [...shape.slice(0, -1), 1];
  const rows = graph.node("ReduceSumSquare", [gradient, last], [{ shape: rowShape }], {
    attributes: { keepdims: 1n },
  })[0]!;
  const all = shape.length === 1 ? rows : reshape(reduceSum(rows, [0]), [1]);
  const sum = graph.node("Add", [all, total], [{ shape: [1] }])[0]!;
  return serialiseModel(subgraph(graph, { sum }), provider);
}
