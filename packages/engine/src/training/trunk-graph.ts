import {
  differentiate,
  type ForwardAndBackward,
  Graph,
  partition,
  type Shape,
  type Subgraph,
  subgraph,
  type Value,
  widened,
} from "../graph/index.js";
import {
  batchAttention,
  decoderLayer,
  layerPrefix,
  layerWeights,
  type SlotInputs,
  sharedAttention,
} from "../model/index.js";
import type { LoraConfig, ModelConfig, Parameter, ParameterSpecification } from "../weights/index.js";

/** Inputs of a segment's graph beside weights: x [tokens, hidden] and what describes the batch. */
export const trunkInputs = {
  x: "x",
  batchTime: "batchTime",
  cosine: "cosine",
  sine: "sine",
  mask: "mask",
  blockMask: "blockMask",
  start: "start",
  positions: "positions",
  querySlots: "querySlots",
  contextSlots: "contextSlots",
  keySlots: "keySlots",
  manyKeySlots: "manyKeySlots",
  oneKeySlots: "oneKeySlots",
};

/**
 * Consecutive decoder layers that run as one graph. All segments of a model have the same number of layers, so that one
 * graph serves them all: its weights carry the Hugging Face names of the first segment's.
 */
export interface SegmentDescription {
  readonly config: ModelConfig;
  readonly layerCount: number;
  /** Parameters of at least the first segment's layers, and how they are kept. */
  readonly weights: readonly (ParameterSpecification & Partial<Pick<Parameter, "type">>)[];
  /** With adapters they alone are trained. */
  readonly adapter?: { readonly config: LoraConfig; readonly weights: readonly ParameterSpecification[] } | undefined;
}

interface SegmentGraph {
  readonly graph: Graph;
  readonly x: Value;
  readonly y: Value;
  readonly trained: ReadonlyMap<string, Value>;
}

/** How rows attend: all at once, or in blocks of so many (`causalAttention`). */
export interface BlockPlan {
  readonly rows: number;
  readonly count: number;
}

/** How the tokens of a batch lie (`RowLayout`) and attend. */
export interface AttentionPlan {
  readonly layout: "grid" | "shared";
  readonly blocks: BlockPlan;
}

function buildSegment(description: SegmentDescription, { layout, blocks }: AttentionPlan): SegmentGraph {
  const { config, layerCount, adapter } = description;
  const graph = new Graph();
  const x = graph.input(trunkInputs.x, ["tokens", config.hiddenSize]);
  const table = ["positions", config.headDimension / 2] as const;
  const tables = { cosine: graph.input(trunkInputs.cosine, table), sine: graph.input(trunkInputs.sine, table) };
  const masks =
    blocks.count === 1
      ? { mask: graph.input(trunkInputs.mask, ["time", "time"]) }
      : {
          mask: graph.input(trunkInputs.mask, ["lastRows", "time"]),
          blocks: {
            ...blocks,
            mask: graph.input(trunkInputs.blockMask, [blocks.rows, blocks.rows * (blocks.count - 1)]),
          },
        };
  const attention =
    layout === "grid"
      ? batchAttention(config, {
          batchTime: graph.input(trunkInputs.batchTime, [3], "int64"),
          rotary: { ...tables, positions: graph.input(trunkInputs.start, [1], "int64") },
          ...masks,
        })
      : sharedAttention(config, {
          rotary: { ...tables, positions: graph.input(trunkInputs.positions, ["tokens", 1], "int64") },
          slots: slotInputs(graph, config),
          ...masks,
        });
  const prefixes = Array.from({ length: layerCount }, (_, layer) => layerPrefix(layer));
  const inputsOf = (weights: SegmentDescription["weights"]) =>
    new Map(
      weights
        .filter(({ name }) => prefixes.some((prefix) => name.startsWith(prefix)))
        .map(({ name, shape, type }) => [name, widened(graph.input(name, shape, type))]),
    );
  const base = inputsOf(description.weights);
  const factors = adapter && { weights: inputsOf(adapter.weights), config: adapter.config };
  let y = x;
  for (let layer = 0; layer < layerCount; layer++)
    y = decoderLayer(y, layer, layerWeights(layer, base, factors), config, attention);
  return { graph, x, y, trained: factors?.weights ?? base };
}

function slotInputs(graph: Graph, { headCount, keyValueHeadCount }: ModelConfig): SlotInputs {
  const indices = (name: string, shape: Shape) => graph.input(name, shape, "int32");
  return {
    query: indices(trunkInputs.querySlots, ["batch", headCount, "time"]),
    context: indices(trunkInputs.contextSlots, [`tokens*${headCount}`]),
    key: indices(trunkInputs.keySlots, ["batch", keyValueHeadCount, "time"]),
    keySources: {
      many: indices(trunkInputs.manyKeySlots, [`shared*${keyValueHeadCount}`, "copies"]),
      one: indices(trunkInputs.oneKeySlots, [`single*${keyValueHeadCount}`]),
    },
  };
}

export const gradientOutput = (name: string) => `gradient.${name}`;
export const accumulatorInput = (name: string) => `accumulator.${name}`;

/** Training: outputs `y`; then, from `dy`, `dx` and the accumulated gradient of every trained weight. */
export function trainingSegment(description: SegmentDescription, attention: AttentionPlan): ForwardAndBackward {
  const { graph, x, y, trained } = buildSegment(description, attention);
  const forwardNodes = graph.nodes.length;
  const withRespectTo = new Map<Value, Value | undefined>([[x, undefined]]);
  for (const [name, weight] of trained) withRespectTo.set(weight, graph.input(accumulatorInput(name), weight.shape));
  const gradients = differentiate(graph, { seeds: new Map([[y, graph.input("dy", y.shape)]]), withRespectTo });
  const backwardOutputs: Record<string, Value> = { dx: gradients.get(x)! };
  for (const [name, weight] of trained) backwardOutputs[gradientOutput(name)] = gradients.get(weight)!;
  return partition(graph, forwardNodes, { y }, backwardOutputs);
}

/** Evaluation: the same forward pass, nothing saved. */
export function evaluationSegment(description: SegmentDescription, attention: AttentionPlan): Subgraph {
  const { graph, y } = buildSegment(description, attention);
  return subgraph(graph, { y });
}
