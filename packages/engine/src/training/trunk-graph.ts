import {
  differentiate,
  type ForwardAndBackward,
  Graph,
  partition,
  type Subgraph,
  subgraph,
  type Value,
} from "../graph/index.js";
import { batchAttention, decoderLayer, layerPrefix } from "../model/index.js";
import type { ModelConfig, ParameterStore } from "../weights/index.js";

/** Inputs of a trunk graph beside weights: x [tokens, hidden] and what describes the batch. */
export const trunkInputs = {
  x: "x",
  batchTime: "batchTime",
  cosine: "cosine",
  sine: "sine",
  mask: "mask",
  start: "start",
};

interface TrunkGraph {
  readonly graph: Graph;
  readonly x: Value;
  readonly y: Value;
  readonly weights: ReadonlyMap<string, Value>;
}

/** All decoder layers, embedded tokens in, hidden states before the final norm out. Weights carry their HF names. */
function buildTrunk(
  config: ModelConfig,
  parameters: ParameterStore["parameters"],
  recomputeProbabilities: boolean,
): TrunkGraph {
  const graph = new Graph();
  const x = graph.input(trunkInputs.x, ["tokens", config.hiddenSize]);
  const table = ["positions", config.headDimension / 2] as const;
  const attention = batchAttention(config, {
    batchTime: graph.input(trunkInputs.batchTime, [3], "int64"),
    rotary: {
      cosine: graph.input(trunkInputs.cosine, table),
      sine: graph.input(trunkInputs.sine, table),
      positions: graph.input(trunkInputs.start, [1], "int64"),
    },
    mask: graph.input(trunkInputs.mask, ["time", "time"]),
    recomputeProbabilities,
  });
  const weights = new Map<string, Value>();
  let y = x;
  for (let layer = 0; layer < config.layerCount; layer++) {
    const prefix = layerPrefix(layer);
    for (const parameter of parameters.values())
      if (parameter.name.startsWith(prefix)) weights.set(parameter.name, graph.input(parameter.name, parameter.shape));
    y = decoderLayer(y, layer, (name) => weights.get(prefix + name)!, config, attention);
  }
  return { graph, x, y, weights };
}

export const gradientOutput = (name: string) => `gradient.${name}`;
export const accumulatorInput = (name: string) => `accumulator.${name}`;

/**
 * Training: outputs `y`; then, from `dy`, `dx` and the accumulated gradient of every weight.
 * @param recomputeProbabilities for long sequences: attention probabilities are not kept
 */
export function trainingTrunk(
  config: ModelConfig,
  parameters: ParameterStore["parameters"],
  recomputeProbabilities = false,
): ForwardAndBackward {
  const { graph, x, y, weights } = buildTrunk(config, parameters, recomputeProbabilities);
  const forwardNodes = graph.nodes.length;
  const withRespectTo = new Map<Value, Value | undefined>([[x, undefined]]);
  for (const [name, weight] of weights) withRespectTo.set(weight, graph.input(accumulatorInput(name), weight.shape));
  const gradients = differentiate(graph, { seeds: new Map([[y, graph.input("dy", y.shape)]]), withRespectTo });
  const backwardOutputs: Record<string, Value> = { dx: gradients.get(x)! };
  for (const [name, weight] of weights) backwardOutputs[gradientOutput(name)] = gradients.get(weight)!;
  return partition(graph, forwardNodes, { y }, backwardOutputs);
}

/** Evaluation: the same forward pass, nothing saved. */
export function evaluationTrunk(config: ModelConfig, parameters: ParameterStore["parameters"]): Subgraph {
  const { graph, y } = buildTrunk(config, parameters, false);
  return subgraph(graph, { y });
}
