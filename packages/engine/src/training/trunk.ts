import { elementCount, resolveShape, type SavedValue } from "../graph/index.js";
import type { RunOptions, Tensor } from "../runtime/types.js";
import { BufferPool, type FloatTensor, float } from "./buffers.js";
import type { GradientArena } from "./gradients.js";
import type { Sharing } from "./row-layout.js";
import { BoundRuns } from "./sessions.js";
import { accumulatorInput, gradientOutput, trunkInputs } from "./trunk-graph.js";
import type { SegmentPlan, TrunkBatch, TrunkPlan } from "./trunk-plan.js";

/** Numbers that the start of a saved value is aligned to: one cache line. */
const ALIGNMENT = 16;
/** Batch shapes whose bound runs are kept. */
const KEPT_SHAPES = 16;

/** The decoder layers of one lane: embedded tokens → hidden states, and back. */
export class Trunk {
  private readonly buffers = new BufferPool();
  private readonly runs: BoundRuns;

  constructor(
    private readonly plan: TrunkPlan,
    private readonly gradients: GradientArena,
  ) {
    this.runs = new BoundRuns(2 * KEPT_SHAPES * plan.config.layerCount);
  }

  /** The buffer for the embedded tokens of a batch, to be filled before `forward`: [rows, hidden]. */
  input(batch: TrunkBatch): FloatTensor {
    return this.rows(boundaryName(0), batch);
  }

  /** The buffer for ∂loss/∂hidden of a batch, to be filled before `backward`. */
  outputGradient(batch: TrunkBatch): FloatTensor {
    return this.rows(gradientName(this.plan.segments(batch).segmentCount), batch);
  }

  /** Runs the layers on `input(batch)`. With `save`, keeps what `backward` needs until the next call. */
  async forward(batch: TrunkBatch, save: boolean, options: RunOptions): Promise<FloatTensor> {
    const segments = this.plan.segments(batch);
    if (batch.sharing) this.setIndices(batch, batch.sharing);
    for (let segment = 0; segment < segments.segmentCount; segment++)
      if (save && isKept(segments, segment)) await this.trainingForward(batch, segments, segment, options);
      else await this.evaluate(batch, segments, segment, save, options);
    return this.rows(boundaryName(save ? segments.segmentCount : segments.segmentCount % 2), batch);
  }

  /** From `outputGradient(batch)`: returns ∂loss/∂x and adds the trained weights' gradients to the lane's accumulators. */
  async backward(batch: TrunkBatch, options: RunOptions): Promise<FloatTensor> {
    const { plan } = this;
    const segments = plan.segments(batch);
    for (let segment = segments.segmentCount - 1; segment >= 0; segment--) {
      if (!isKept(segments, segment)) await this.trainingForward(batch, segments, segment, options);
      const { name: sessionName, graphs } = plan.training(segments.layersPerSegment, batch);
      const session = plan.sessions.get(`${sessionName} backward`, () => graphs.backward);
      const run = this.runs.get(`backward ${keyOf(batch, segment)}`, this.generation, session, () => {
        const feeds = this.feeds(batch, segments, segment, segment);
        const fetches: Record<string, Tensor> = { dx: this.rows(gradientName(segment), batch) };
        feeds.dy = this.rows(gradientName(segment + 1), batch);
        for (const [{ value }, tensor] of this.saved(batch, segments, segment)) feeds[value.name] = tensor;
        for (const [graphName, name] of plan.segmentParameters(segment, segments.layersPerSegment)) {
          if (!plan.isTrained(name)) continue;
          const gradient = this.gradients.gradient(name);
          feeds[accumulatorInput(graphName)] = gradient;
          fetches[gradientOutput(graphName)] = gradient;
        }
        return { feeds, fetches };
      });
      await run.run(options);
    }
    return this.rows(gradientName(0), batch);
  }

  close(): void {
    this.runs.clear();
    this.buffers.clear();
  }

  /** A segment from its boundary to the next, with everything saved that its backward pass reads. */
  private async trainingForward(batch: TrunkBatch, segments: SegmentPlan, segment: number, options: RunOptions) {
    const { plan } = this;
    const { name, graphs } = plan.training(segments.layersPerSegment, batch);
    const session = plan.sessions.get(`${name} forward`, () => graphs.forward);
    const run = this.runs.get(`forward ${keyOf(batch, segment)}`, this.generation, session, () => {
      const fetches: Record<string, Tensor> = { y: this.rows(boundaryName(segment + 1), batch) };
      for (const [{ output }, tensor] of this.saved(batch, segments, segment)) fetches[output] ??= tensor;
      return { feeds: this.feeds(batch, segments, segment, segment), fetches };
    });
    await run.run(options);
  }

  /** A segment of which nothing is saved; without `keepBoundary` two boundaries take turns. */
  private async evaluate(
    batch: TrunkBatch,
    segments: SegmentPlan,
    segment: number,
    keepBoundary: boolean,
    options: RunOptions,
  ) {
    const { plan } = this;
    const { layersPerSegment } = segments;
    const [from, to] = keepBoundary ? [segment, segment + 1] : [segment % 2, (segment + 1) % 2];
    const { name, graph } = plan.evaluation(layersPerSegment, batch);
    const session = plan.sessions.get(name, graph);
    const key = `evaluation ${keepBoundary} ${keyOf(batch, segment)}`;
    const run = this.runs.get(key, this.generation, session, () => ({
      feeds: this.feeds(batch, segments, segment, from),
      fetches: { y: this.rows(boundaryName(to), batch) },
    }));
    await run.run(options);
  }

  /**
   * Where the saved values of a segment lie. All of them are parts of one buffer, so that batches of other shapes, which
   * keep more or fewer segments, use the same memory. Segments that are computed again share the last part.
   */
  private saved(batch: TrunkBatch, segments: SegmentPlan, segment: number): [SavedValue, FloatTensor][] {
    const { graphs } = this.plan.training(segments.layersPerSegment, batch);
    const sizes = this.plan.sizes(batch);
    let end = 0;
    const places = graphs.saved.map((saved) => {
      const shape = resolveShape(saved.value.shape, sizes);
      const start = end;
      end = Math.ceil((start + elementCount(shape)) / ALIGNMENT) * ALIGNMENT;
      return { saved, shape, start };
    });
    const { segmentCount, keptSegments } = segments;
    const parts = Math.min(segmentCount, keptSegments + 1);
    const part = isKept(segments, segment) ? segmentCount - 1 - segment : parts - 1;
    const { data } = this.buffers.tensor("saved", [parts * end], {});
    return places.map(({ saved, shape, start }) => {
      const from = part * end + start;
      return [saved, float(data.subarray(from, from + elementCount(shape)), shape)];
    });
  }

  private readonly generation = () => this.buffers.generation;

  private rows(name: string, batch: TrunkBatch): FloatTensor {
    return this.buffers.tensor(name, ["tokens", this.plan.config.hiddenSize], this.plan.sizes(batch));
  }

  /** Everything a segment's graphs may ask for beside activations: weights are the arena itself. */
  private feeds(
    batch: TrunkBatch,
    { layersPerSegment }: SegmentPlan,
    segment: number,
    boundary: number,
  ): Record<string, Tensor> {
    const feeds: Record<string, Tensor> = {
      ...this.plan.rotaryFeeds(batch.time),
      ...this.plan.maskFeeds(batch.time),
      [trunkInputs.x]: this.rows(boundaryName(boundary), batch),
      ...(batch.sharing
        ? this.indices(batch, batch.sharing)
        : { [trunkInputs.batchTime]: integers([batch.batch, batch.time, -1]), [trunkInputs.start]: integers([0]) }),
    };
    for (const [graphName, name] of this.plan.segmentParameters(segment, layersPerSegment))
      feeds[graphName] = this.gradients.weight(name);
    return feeds;
  }

  /** The indices of shared rows: tensors on buffers of this lane. */
  private indices({ batch, time, rows }: TrunkBatch, { shared, copies }: Sharing): Record<string, Tensor> {
    const { headCount, keyValueHeadCount } = this.plan.config;
    const int32 = (name: string, shape: readonly number[]) => this.buffers.integers(name, shape, "int32");
    return {
      [trunkInputs.positions]: this.buffers.integers(trunkInputs.positions, [rows, 1], "int64"),
      [trunkInputs.querySlots]: int32(trunkInputs.querySlots, [batch, headCount, time]),
      [trunkInputs.contextSlots]: int32(trunkInputs.contextSlots, [rows * headCount]),
      [trunkInputs.keySlots]: int32(trunkInputs.keySlots, [batch, keyValueHeadCount, time]),
      [trunkInputs.manyKeySlots]: int32(trunkInputs.manyKeySlots, [shared * keyValueHeadCount, copies]),
      [trunkInputs.oneKeySlots]: int32(trunkInputs.oneKeySlots, [(rows - shared) * keyValueHeadCount]),
    };
  }

  private setIndices(batch: TrunkBatch, sharing: Sharing): void {
    const tensors = this.indices(batch, sharing);
    (tensors.positions!.data as BigInt64Array).set(sharing.positions);
    for (const [name, values] of Object.entries(sharing.slots(this.plan.config)))
      (tensors[name]!.data as Int32Array).set(values);
  }
}

const isKept = ({ segmentCount, keptSegments }: SegmentPlan, segment: number) => segment >= segmentCount - keptSegments;

/** Hidden states between the segments; number 0 is what goes in. */
const boundaryName = (segment: number) => `boundary ${segment}`;
/** Their gradients: of a segment's output and its input in turns. */
const gradientName = (boundary: number) => `gradient ${boundary % 2}`;

const keyOf = ({ batch, time, rows, sharing }: TrunkBatch, segment: number) =>
  `${segment} ${batch}×${time}${sharing ? ` in ${rows} rows, ${sharing.shared} shared by ${sharing.copies}` : ""}`;

function integers(values: readonly number[]): Tensor {
  return { type: "int64", shape: [values.length], data: BigInt64Array.from(values, BigInt) };
}
