import {
  differentiate,
  type ForwardAndBackward,
  Graph,
  gatherRows,
  linear,
  multiply,
  partition,
  rmsNorm,
  type Subgraph,
  subgraph,
  tokenDistribution,
  type Value,
} from "../graph/index.js";
import { batchAttention, decoderLayer, embeddingName, finalNormName, headName, layerWeights } from "../model/index.js";
import {
  adapterLayout,
  type LoraConfig,
  type ModelConfig,
  type ParameterSpecification,
  parameterLayout,
} from "../weights/index.js";

export interface BackwardKind {
  /** The loss has a gradient by the entropies. */
  readonly entropy: boolean;
  /** There are gradients already, to which these are added. */
  readonly accumulate: boolean;
}

export const accumulatorInput = (name: string) => `accumulator.${name}`;
export const gradientOutput = (name: string) => `gradient.${name}`;

interface ModelGraph {
  readonly graph: Graph;
  /** What has gradients: the adapters if there are any, otherwise all weights. */
  readonly trained: ReadonlyMap<string, Value>;
  readonly logprob: Value;
  readonly entropy: Value;
}

/**
 * The whole model from token ids to log-probabilities, in one graph: on a device nothing in between comes back.
 *
 * Inputs beside the weights (HF names): `ids` int32 [tokens], row by row; `batchTime` int64 [3]: batch, time, −1; `start`
 * int64 [1]: 0; `mask` [time, time], `cosine` and `sine` as everywhere; `rows` int32 [rows]: which tokens' hidden states
 * predict a target; `targets` int64 [rows, 1]; `inverseTemperature` [].
 */
function modelGraph(config: ModelConfig, lora: LoraConfig | undefined): ModelGraph {
  const graph = new Graph();
  const inputs = (specifications: readonly ParameterSpecification[]) =>
    new Map(specifications.map(({ name, shape }) => [name, graph.input(name, shape)]));
  const weights = inputs(parameterLayout(config).flat());
  const adapter = lora && { weights: inputs(adapterLayout(config, lora).flat()), config: lora };
  const table = ["positions", config.headDimension / 2] as const;
  const attention = batchAttention(config, {
    batchTime: graph.input("batchTime", [3], "int64"),
    rotary: {
      cosine: graph.input("cosine", table),
      sine: graph.input("sine", table),
      positions: graph.input("start", [1], "int64"),
    },
    mask: graph.input("mask", ["time", "time"]),
  });
  let x = gatherRows(weights.get(embeddingName)!, graph.input("ids", ["tokens"], "int32"));
  for (let layer = 0; layer < config.layerCount; layer++) {
    x = decoderLayer(x, layer, layerWeights(layer, weights, adapter), config, attention);
  }
  const hidden = gatherRows(x, graph.input("rows", ["rows"], "int32"));
  const normed = rmsNorm(hidden, weights.get(finalNormName)!, config.normEpsilon);
  const scaled = multiply(normed, graph.input("inverseTemperature", []));
  const targets = graph.input("targets", ["rows", 1], "int64");
  const { logprob, entropy } = tokenDistribution(linear(scaled, weights.get(headName(config))!), targets);
  return { graph, trained: adapter?.weights ?? weights, logprob, entropy };
}

/** Forward outputs `logprob` and `entropy` [rows, 1] without what a backward pass reads. */
export function evaluationGraph(config: ModelConfig, lora: LoraConfig | undefined): Subgraph {
  const { graph, logprob, entropy } = modelGraph(config, lora);
  return subgraph(graph, { logprob, entropy });
}

/**
 * Forward outputs `logprob`, `entropy` and what is saved; backward makes from `dlogprob` (and `dentropy`) the gradient of
 * every trained weight. All kinds have the same forward half.
 */
export function trainingGraph(
  config: ModelConfig,
  lora: LoraConfig | undefined,
  { entropy: withEntropy, accumulate }: BackwardKind,
): ForwardAndBackward {
  const { graph, trained, logprob, entropy } = modelGraph(config, lora);
  const forwardNodes = graph.nodes.length;
  const seeds = new Map<Value, Value>([[logprob, graph.input("dlogprob", logprob.shape)]]);
  if (withEntropy) seeds.set(entropy, graph.input("dentropy", entropy.shape));
  const withRespectTo = new Map<Value, Value | undefined>();
  for (const [name, weight] of trained)
    withRespectTo.set(weight, accumulate ? graph.input(accumulatorInput(name), weight.shape) : undefined);
  const gradients = differentiate(graph, { seeds, withRespectTo });
  const outputs: Record<string, Value> = {};
  for (const [name, weight] of trained) outputs[gradientOutput(name)] = gradients.get(weight)!;
  return partition(graph, forwardNodes, { logprob, entropy }, outputs);
}
