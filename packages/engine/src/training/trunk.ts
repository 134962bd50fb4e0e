import { type Subgraph, serialiseModel } from "../graph/index.js";
import { rotaryTables } from "../model/index.js";
import { createSession } from "../runtime/index.js";
import type { RunOptions, Session, Tensor } from "../runtime/types.js";
import type { ModelConfig, ParameterStore } from "../weights/index.js";
import { BufferPool } from "./buffers.js";
import { accumulatorInput, evaluationTrunk, gradientOutput, trainingTrunk, trunkInputs } from "./trunk-graph.js";

export interface TrunkBatch {
  readonly batch: number;
  /** Padded length of the rows. */
  readonly time: number;
}

export type FloatTensor = Tensor & { readonly data: Float32Array };

const float = (data: Float32Array, shape: readonly number[]): FloatTensor => ({ type: "float32", shape, data });
const integer = (values: readonly number[]): Tensor => ({
  type: "int64",
  shape: [values.length],
  data: BigInt64Array.from(values, BigInt),
});

/** The decoder layers: embedded tokens → hidden states, and back. Sessions are made when first needed. */
export class Trunk {
  private readonly sessions = new Map<string, Session>();
  private readonly graphs: ReturnType<typeof trainingTrunk>;
  private readonly buffers = new BufferPool();
  private readonly masks = new Map<number, Tensor>();
  private rotary: Readonly<Record<string, Tensor>> = {};
  private rotaryPositions = 0;

  constructor(
    private readonly config: ModelConfig,
    private readonly parameters: ParameterStore,
    private readonly threads: number | undefined,
  ) {
    this.graphs = trainingTrunk(config, parameters.parameters);
  }

  /** The buffer for the embedded tokens of a batch: [batch × time, hidden]. */
  input(batch: TrunkBatch): FloatTensor {
    return this.buffers.tensor("x", ["tokens", this.config.hiddenSize], sizesOf(batch));
  }

  /** The buffer for ∂loss/∂hidden of a batch, to be filled before `backward`. */
  outputGradient(batch: TrunkBatch): FloatTensor {
    return this.buffers.tensor("dy", ["tokens", this.config.hiddenSize], sizesOf(batch));
  }

  /** Runs the layers on `input(batch)`. With `save`, keeps what `backward` needs until the next call. */
  async forward(batch: TrunkBatch, save: boolean, options: RunOptions): Promise<FloatTensor> {
    const sizes = sizesOf(batch);
    const y = this.buffers.tensor("y", ["tokens", this.config.hiddenSize], sizes);
    const fetches: Record<string, Tensor> = { y };
    if (save)
      for (const { output, value } of this.graphs.saved)
        fetches[output] ??= this.buffers.tensor(value.name, value.shape, sizes);
    const session = save
      ? this.session("training forward", () => this.graphs.forward)
      : this.session("evaluation", () => evaluationTrunk(this.config, this.parameters.parameters));
    await session.run(this.feeds(session, batch), fetches, options);
    return y;
  }

  /** From `outputGradient(batch)`: returns ∂loss/∂x and adds the weights' gradients to their accumulators. */
  async backward(batch: TrunkBatch, options: RunOptions): Promise<FloatTensor> {
    const sizes = sizesOf(batch);
    const session = this.session("training backward", () => this.graphs.backward);
    const saved: Record<string, Tensor> = { dy: this.outputGradient(batch) };
    for (const { value } of this.graphs.saved) saved[value.name] = this.buffers.tensor(value.name, value.shape, sizes);
    const dx = this.buffers.tensor("dx", ["tokens", this.config.hiddenSize], sizes);
    const fetches: Record<string, Tensor> = { dx };
    for (const name of session.outputNames) {
      const parameter = this.parameters.parameters.get(name.slice(gradientOutput("").length));
      if (parameter) fetches[name] = float(parameter.gradient, parameter.shape);
    }
    await session.run(this.feeds(session, batch, saved), fetches, options);
    return dx;
  }

  close(): void {
    for (const session of this.sessions.values()) session.close();
    this.sessions.clear();
    this.buffers.clear();
  }

  private session(name: string, part: () => Subgraph): Session {
    let session = this.sessions.get(name);
    if (!session) {
      session = createSession(serialiseModel(part()), {
        name: `decoder layers, ${name}`,
        ...(this.threads === undefined ? {} : { threads: this.threads }),
      });
      this.sessions.set(name, session);
    }
    return session;
  }

  /** The tensors a session asks for: weights and accumulators are the arenas themselves. */
  private feeds(
    session: Session,
    batch: TrunkBatch,
    more: Readonly<Record<string, Tensor>> = {},
  ): Record<string, Tensor> {
    const { parameters } = this.parameters;
    const known: Record<string, Tensor> = {
      ...more,
      ...this.rotaryFeeds(batch.time),
      [trunkInputs.x]: this.input(batch),
      [trunkInputs.batchTime]: integer([batch.batch, batch.time, -1]),
      [trunkInputs.start]: integer([0]),
      [trunkInputs.mask]: this.mask(batch.time),
    };
    const feeds: Record<string, Tensor> = {};
    for (const name of session.inputNames) {
      const weight = parameters.get(name);
      const accumulated = parameters.get(name.slice(accumulatorInput("").length));
      if (weight) feeds[name] = float(weight.data, weight.shape);
      else if (accumulated) feeds[name] = float(accumulated.gradient, accumulated.shape);
      else feeds[name] = known[name]!;
    }
    return feeds;
  }

  private rotaryFeeds(time: number): Readonly<Record<string, Tensor>> {
    if (this.rotaryPositions < time) {
      this.rotaryPositions = Math.max(time, 2 * this.rotaryPositions);
      const { cosine, sine } = rotaryTables(this.config.inverseFrequencies, this.rotaryPositions);
      const shape = [this.rotaryPositions, this.config.headDimension / 2];
      this.rotary = { [trunkInputs.cosine]: float(cosine, shape), [trunkInputs.sine]: float(sine, shape) };
    }
    return this.rotary;
  }

  private mask(time: number): Tensor {
    let mask = this.masks.get(time);
    if (!mask) {
      const data = new Float32Array(time * time);
      // A number rather than −∞: nothing turns into NaN, and exp() of it is zero all the same.
      for (let row = 0; row < time; row++) data.fill(-1e30, row * time + row + 1, (row + 1) * time);
      mask = float(data, [time, time]);
      // Lengths vary from batch to batch; the latest are enough.
      if (this.masks.size >= 8) this.masks.delete(this.masks.keys().next().value!);
      this.masks.set(time, mask);
    }
    return mask;
  }
}

function sizesOf({ batch, time }: TrunkBatch): Readonly<Record<string, number>> {
  return { batch, time, tokens: batch * time };
}
