import { elementCount, type ForwardAndBackward, resolveShape } from "../graph/index.js";
import { rotaryTables } from "../model/index.js";
import type { RunOptions, Tensor } from "../runtime/types.js";
import type { ModelConfig, ParameterStore } from "../weights/index.js";
import { BufferPool, type FloatTensor, float } from "./buffers.js";
import type { GradientArena } from "./gradients.js";
import { BoundRuns, type Sessions } from "./sessions.js";
import { accumulatorInput, evaluationTrunk, gradientOutput, trainingTrunk, trunkInputs } from "./trunk-graph.js";

export interface TrunkBatch {
  readonly batch: number;
  /** Padded length of the rows. */
  readonly time: number;
}

/** Up to here probabilities (heads × time numbers a token and layer) are about as large as the other activations. */
const KEPT_PROBABILITIES_TIME = 256;

/** The decoder layers' graphs and tables: shared by all lanes. */
export class TrunkPlan {
  readonly layerParameters: readonly string[];
  private readonly trainingGraphs = new Map<boolean, ForwardAndBackward>();
  private readonly masks = new Map<number, Tensor>();
  private rotary: Readonly<Record<string, Tensor>> = {};
  private rotaryPositions = 0;

  constructor(
    readonly config: ModelConfig,
    readonly store: ParameterStore,
    readonly sessions: Sessions,
    /** Longest rows whose attention probabilities are kept; for longer ones the backward pass computes them again. */
    private readonly keptProbabilitiesTime = KEPT_PROBABILITIES_TIME,
  ) {
    this.layerParameters = [...store.parameters.keys()].filter((name) => name.startsWith("model.layers."));
  }

  /** The training graphs for rows of a length, and a name for their sessions. */
  training(time: number): { readonly name: string; readonly graphs: ForwardAndBackward } {
    const recompute = time > this.keptProbabilitiesTime;
    let graphs = this.trainingGraphs.get(recompute);
    if (!graphs) {
      graphs = trainingTrunk(this.config, this.store.parameters, recompute);
      this.trainingGraphs.set(recompute, graphs);
    }
    return { name: `decoder layers, training${recompute ? " (long)" : ""}`, graphs };
  }

  /** Memory that a training forward pass keeps for each token, attention probabilities of long rows apart. */
  activationBytesPerToken(): number {
    const one = { batch: 1, time: 1, tokens: 1 };
    return this.training(1).graphs.saved.reduce(
      (bytes, { value }) => bytes + 4 * elementCount(resolveShape(value.shape, one)),
      0,
    );
  }

  /** cos and sin for at least `time` positions. */
  rotaryFeeds(time: number): Readonly<Record<string, Tensor>> {
    if (this.rotaryPositions < time) {
      this.rotaryPositions = Math.max(time, 2 * this.rotaryPositions);
      const { cosine, sine } = rotaryTables(this.config.inverseFrequencies, this.rotaryPositions);
      const shape = [this.rotaryPositions, this.config.headDimension / 2];
      this.rotary = { [trunkInputs.cosine]: float(cosine, shape), [trunkInputs.sine]: float(sine, shape) };
    }
    return this.rotary;
  }

  mask(time: number): Tensor {
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

/** The decoder layers of one lane: embedded tokens → hidden states, and back. */
export class Trunk {
  private readonly buffers = new BufferPool();
  private readonly runs = new BoundRuns();

  constructor(
    private readonly plan: TrunkPlan,
    private readonly gradients: GradientArena,
  ) {}

  /** The buffer for the embedded tokens of a batch: [batch × time, hidden]. */
  input(batch: TrunkBatch): FloatTensor {
    return this.rows("x", batch);
  }

  /** The buffer for ∂loss/∂hidden of a batch, to be filled before `backward`. */
  outputGradient(batch: TrunkBatch): FloatTensor {
    return this.rows("dy", batch);
  }

  /** Runs the layers on `input(batch)`. With `save`, keeps what `backward` needs until the next call. */
  async forward(batch: TrunkBatch, save: boolean, options: RunOptions): Promise<FloatTensor> {
    const { plan } = this;
    const { name, graphs } = plan.training(batch.time);
    const session = save
      ? plan.sessions.get(`${name} forward`, () => graphs.forward)
      : plan.sessions.get("decoder layers, evaluation", () => evaluationTrunk(plan.config, plan.store.parameters));
    const run = this.runs.get(`${save ? "forward" : "evaluation"} ${keyOf(batch)}`, this.generation, session, () => {
      const fetches: Record<string, Tensor> = { y: this.rows("y", batch) };
      if (save)
        for (const { output, value } of graphs.saved)
          fetches[output] ??= this.buffers.tensor(value.name, value.shape, sizesOf(batch));
      return { feeds: this.feeds(batch), fetches };
    });
    await run.run(options);
    return this.rows("y", batch);
  }

  /** From `outputGradient(batch)`: returns ∂loss/∂x and adds the weights' gradients to the lane's accumulators. */
  async backward(batch: TrunkBatch, options: RunOptions): Promise<FloatTensor> {
    const { plan } = this;
    const { name: sessionName, graphs } = plan.training(batch.time);
    const session = plan.sessions.get(`${sessionName} backward`, () => graphs.backward);
    const run = this.runs.get(`backward ${keyOf(batch)}`, this.generation, session, () => {
      const feeds = this.feeds(batch);
      const fetches: Record<string, Tensor> = { dx: this.rows("dx", batch) };
      feeds.dy = this.outputGradient(batch);
      for (const { value } of graphs.saved)
        feeds[value.name] = this.buffers.tensor(value.name, value.shape, sizesOf(batch));
      for (const name of plan.layerParameters) {
        const gradient = this.gradients.gradient(name);
        feeds[accumulatorInput(name)] = gradient;
        fetches[gradientOutput(name)] = gradient;
      }
      return { feeds, fetches };
    });
    await run.run(options);
    return this.rows("dx", batch);
  }

  close(): void {
    this.runs.clear();
    this.buffers.clear();
  }

  private readonly generation = () => this.buffers.generation;

  private rows(name: string, batch: TrunkBatch): FloatTensor {
    return this.buffers.tensor(name, ["tokens", this.plan.config.hiddenSize], sizesOf(batch));
  }

  /** Everything the graphs may ask for beside activations: weights are the arena itself. */
  private feeds(batch: TrunkBatch): Record<string, Tensor> {
    const feeds: Record<string, Tensor> = {
      ...this.plan.rotaryFeeds(batch.time),
      [trunkInputs.x]: this.input(batch),
      [trunkInputs.batchTime]: integers([batch.batch, batch.time, -1]),
      [trunkInputs.start]: integers([0]),
      [trunkInputs.mask]: this.plan.mask(batch.time),
    };
    for (const name of this.plan.layerParameters) feeds[name] = this.gradients.weight(name);
    return feeds;
  }
}

function sizesOf({ batch, time }: TrunkBatch): Readonly<Record<string, number>> {
  return { batch, time, tokens: batch * time };
}

const keyOf = ({ batch, time }: TrunkBatch) => `${batch}×${time}`;

function integers(values: readonly number[]): Tensor {
  return { type: "int64", shape: [values.length], data: BigInt64Array.from(values, BigInt) };
}
