import { elementCount, type ForwardAndBackward, resolveShape, type Subgraph } from "../graph/index.js";
import { causalMask, layerPrefix, rotaryTables } from "../model/index.js";
import type { Tensor } from "../runtime/types.js";
import type { LoraAdapter, ModelConfig, ParameterStore } from "../weights/index.js";
import { float } from "./buffers.js";
import type { RowLayout } from "./row-layout.js";
import type { Sessions } from "./sessions.js";
import {
  type AttentionPlan,
  type BlockPlan,
  evaluationSegment,
  type SegmentDescription,
  trainingSegment,
  trunkInputs,
} from "./trunk-graph.js";

/** The sizes of a batch: of attention's grid, and the rows of hidden states (see `RowLayout`). */
export type TrunkBatch = Pick<RowLayout, "batch" | "time" | "rows" | "sharing">;

/**
 * Rows of a block of attention. Up to here the probabilities (heads × time numbers a token and layer) are about as large as
 * the other activations and are kept. Above, blocks of this size skip about half of the products.
 */
export const BLOCK_ROWS = 256;
/** Above so many blocks they become larger: graphs grow with them. */
const MAX_SMALL_BLOCKS = 8;

/** Up to here all layers are one graph; larger ones need less memory one by one, and the calls are nothing beside the work. */
const MAX_WHOLE_LAYER_BYTES = 16 * 1024 * 1024;

/** Numbers that attention keeps for each slot of a grid of that length: rotated query and key, value, context, probabilities. */
export function slotNumbers({ headCount, keyValueHeadCount, headDimension }: ModelConfig, time: number): number {
  const probabilities = time <= BLOCK_ROWS ? headCount * time : 0;
  return 2 * headDimension * (headCount + keyValueHeadCount) + probabilities;
}

/** Numbers that a layer keeps for each token of rows of a length; adapters add a few. */
export function activationNumbers(config: ModelConfig, time: number): number {
  const { hiddenSize, intermediateSize, headCount, keyValueHeadCount, headDimension, queryKeyNorm } = config;
  const beforeNorm = queryKeyNorm ? headDimension * (headCount + keyValueHeadCount) : 0;
  // Gate and up; hidden states after attention; query and key before their norm.
  return 2 * intermediateSize + hiddenSize + beforeNorm + slotNumbers(config, time);
}

/** Numbers a token that exist at a time within the backward pass of a layer, beside those that are kept. */
export function temporaryNumbers(config: ModelConfig, time: number): number {
  const { hiddenSize, intermediateSize, headCount, headDimension } = config;
  const scores = headCount * Math.min(time, BLOCK_ROWS) * 4;
  return 6 * intermediateSize + 4 * hiddenSize + 6 * headCount * headDimension + scores;
}

export interface TrunkOptions {
  /** For tests: rows of a block of attention. */
  readonly blockRows?: number | undefined;
  /** Bytes of activations that a lane may keep of a batch; default: no limit. */
  readonly keptBytes?: ((batch: TrunkBatch) => number) | undefined;
}

/** How a batch runs: layers in one graph, and how many of the last segments keep their activations for backward. */
export interface SegmentPlan {
  readonly layersPerSegment: number;
  readonly segmentCount: number;
  readonly keptSegments: number;
}

/** The decoder layers' graphs and tables: shared by all lanes. */
export class TrunkPlan {
  private readonly trainingGraphs = new Map<string, ForwardAndBackward>();
  private readonly masks = new Map<string, Tensor>();
  private rotary: Readonly<Record<string, Tensor>> = {};
  private rotaryPositions = 0;

  constructor(
    readonly config: ModelConfig,
    private readonly store: ParameterStore,
    private readonly adapter: LoraAdapter | undefined,
    readonly sessions: Sessions,
    private readonly options: TrunkOptions = {},
  ) {}

  /**
   * A small batch is one graph. Of a large one each layer is a graph: the last layers keep what fits, the others keep
   * their input and compute the rest again. The results are the same bits either way.
   */
  segments(batch: TrunkBatch): SegmentPlan {
    const { layerCount } = this.config;
    const keptBytes = this.options.keptBytes?.(batch) ?? Number.POSITIVE_INFINITY;
    const whole: SegmentPlan = { layersPerSegment: layerCount, segmentCount: 1, keptSegments: 1 };
    const layerBytes = this.activationBytes(batch);
    // Weights that are widened for a run would all be there at once.
    const widens = this.store.halves.length > 0;
    if (!widens && layerBytes <= MAX_WHOLE_LAYER_BYTES && layerCount * layerBytes <= keptBytes) return whole;
    // The activations of the layer that is computed again need room as well.
    const fits = Math.floor(keptBytes / layerBytes);
    const keptSegments = fits >= layerCount ? layerCount : Math.max(0, fits - 1);
    return { layersPerSegment: 1, segmentCount: layerCount, keptSegments };
  }

  /** How rows of a length attend. */
  blocks(time: number): BlockPlan {
    const { blockRows = BLOCK_ROWS } = this.options;
    const rows = time > blockRows * MAX_SMALL_BLOCKS ? 2 * blockRows : blockRows;
    return { rows, count: Math.ceil(time / rows) };
  }

  /** The training graphs of a segment for a batch, and a name for their sessions. */
  training(layers: number, batch: TrunkBatch): { readonly name: string; readonly graphs: ForwardAndBackward } {
    const attention = this.attention(batch);
    const name = `training ${segmentName(layers, attention)}`;
    let graphs = this.trainingGraphs.get(name);
    if (!graphs) {
      graphs = trainingSegment(this.describe(layers), attention);
      this.trainingGraphs.set(name, graphs);
    }
    return { name, graphs };
  }

  evaluation(layers: number, batch: TrunkBatch): { readonly name: string; readonly graph: () => Subgraph } {
    const attention = this.attention(batch);
    return {
      name: `evaluation ${segmentName(layers, attention)}`,
      graph: () => evaluationSegment(this.describe(layers), attention),
    };
  }

  private attention({ time, sharing }: TrunkBatch): AttentionPlan {
    return { layout: sharing ? "shared" : "grid", blocks: this.blocks(time) };
  }

  /** The values of the symbolic sizes of the graphs for a batch. */
  sizes({ batch, time, rows, sharing }: TrunkBatch): Readonly<Record<string, number>> {
    const { rows: blockRows, count } = this.blocks(time);
    const { shared = 0, copies = 0 } = sharing ?? {};
    const lastRows = time - blockRows * (count - 1);
    return { batch, time, tokens: rows, lastRows, shared, copies, single: rows - shared };
  }

  /** The parameters of a segment by the names that its graph has for them. */
  segmentParameters(segment: number, layers: number): ReadonlyMap<string, string> {
    const names = new Map<string, string>();
    for (let index = 0; index < layers; index++) {
      const [graphPrefix, prefix] = [layerPrefix(index), layerPrefix(segment * layers + index)];
      for (const store of [this.store, this.adapter?.parameters])
        for (const name of store?.parameters.keys() ?? [])
          if (name.startsWith(prefix)) names.set(graphPrefix + name.slice(prefix.length), name);
    }
    return names;
  }

  /** Whether the optimizer changes a parameter. */
  isTrained(name: string): boolean {
    return (this.adapter?.parameters ?? this.store).parameters.has(name);
  }

  /** Memory that a training forward pass of one layer keeps for a batch. */
  private activationBytes(batch: TrunkBatch): number {
    const sizes = this.sizes(batch);
    const { saved } = this.training(1, batch).graphs;
    return saved.reduce((bytes, { value }) => bytes + 4 * elementCount(resolveShape(value.shape, sizes)), 0);
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

  maskFeeds(time: number): Readonly<Record<string, Tensor>> {
    const { rows, count } = this.blocks(time);
    return {
      [trunkInputs.mask]: this.mask(time - rows * (count - 1), time),
      ...(count === 1 ? {} : { [trunkInputs.blockMask]: this.mask(rows, rows * (count - 1)) }),
    };
  }

  /** For the last `rows` of `columns` tokens. */
  private mask(rows: number, columns: number): Tensor {
    const key = `${rows}×${columns}`;
    let mask = this.masks.get(key);
    if (!mask) {
      mask = float(causalMask(rows, columns), [rows, columns]);
      // Lengths vary from batch to batch; the latest are enough.
      if (this.masks.size >= 8) this.masks.delete(this.masks.keys().next().value!);
      this.masks.set(key, mask);
    }
    return mask;
  }

  private describe(layerCount: number): SegmentDescription {
    const { config, store, adapter } = this;
    const weights = [...store.parameters.values()];
    return {
      config,
      layerCount,
      weights,
      adapter: adapter && { config: adapter.config, weights: [...adapter.parameters.parameters.values()] },
    };
  }
}

const segmentName = (layers: number, { layout, blocks: { rows, count } }: AttentionPlan) =>
  `${layers} decoder layers${layout === "shared" ? ", shared rows" : ""}${count === 1 ? "" : `, ${count} blocks of ${rows}`}`;
