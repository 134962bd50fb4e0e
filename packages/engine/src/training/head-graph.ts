import {
  differentiate,
  exponential,
  type ForwardAndBackward,
  Graph,
  gemm,
  linear,
  multiply,
  partition,
  rmsNorm,
  type Subgraph,
  subgraph,
  subtract,
  tokenDistribution,
  type Value,
} from "../graph/index.js";
import type { ModelConfig } from "../weights/index.js";

/**
 * Forward outputs `logprob` and `entropy` [rows, 1]. Backward makes from `dlogprob` (and `dentropy`) `dhidden` and, if
 * norm and head are trained, their accumulated gradients `gradient.norm` and `gradient.head`.
 */
export interface HeadGraphs extends ForwardAndBackward {
  /** Forward without the values that backward reads. */
  readonly evaluation: Subgraph;
}

/**
 * Final norm and language-model head on rows of hidden states that carry loss.
 * Logits are divided by the temperature by scaling the normed hidden states: hidden instead of vocabulary numbers a row.
 */
function buildHead({ hiddenSize, vocabularySize, normEpsilon }: ModelConfig) {
  const graph = new Graph();
  const hidden = graph.input("hidden", ["rows", hiddenSize]);
  const norm = graph.input("norm", [hiddenSize]);
  const head = graph.input("head", [vocabularySize, hiddenSize]);
  const inverseTemperature = graph.input("inverseTemperature", []);
  const targets = graph.input("targets", ["rows", 1], "int64");
  const scaled = multiply(rmsNorm(hidden, norm, normEpsilon), inverseTemperature);
  return { graph, hidden, norm, head, targets, scaled, ...tokenDistribution(linear(scaled, head), targets) };
}

export function headGraphs(
  config: ModelConfig,
  options: { readonly entropyGradient: boolean; readonly trained: boolean },
): HeadGraphs {
  const { graph, hidden, norm, head, logprob, entropy } = buildHead(config);
  const forwardNodes = graph.nodes.length;

  const seeds = new Map<Value, Value>([[logprob, graph.input("dlogprob", logprob.shape)]]);
  if (options.entropyGradient) seeds.set(entropy, graph.input("dentropy", entropy.shape));
  const withRespectTo = new Map<Value, Value | undefined>([[hidden, undefined]]);
  if (options.trained) {
    withRespectTo.set(norm, graph.input("accumulator.norm", norm.shape));
    withRespectTo.set(head, graph.input("accumulator.head", head.shape));
  }
  const gradients = differentiate(graph, { seeds, withRespectTo });
  const outputs: Record<string, Value> = { dhidden: gradients.get(hidden)! };
  if (options.trained) {
    outputs["gradient.norm"] = gradients.get(norm)!;
    outputs["gradient.head"] = gradients.get(head)!;
  }
  const parts = partition(graph, forwardNodes, { logprob, entropy }, outputs);
  return { ...parts, evaluation: subgraph(graph, { logprob, entropy }) };
}

/**
 * For a norm and head that are not trained: `logprob`, `entropy` and `score` [rows, hidden], ∂logprob/∂hidden of each
 * row. Whatever the loss, its gradient is a multiple of that row, so the logits are needed once: no second product with
 * them and nothing of the vocabulary's size to keep. With p the distribution: score = (head[target] − p · head), taken
 * back through the norm.
 */
export function scoreGraph(config: ModelConfig): Subgraph {
  const { graph, hidden, head, targets, scaled, logprob, entropy, logProbabilities } = buildHead(config);
  const { hiddenSize } = config;
  const rows = graph.node("GatherND", [head, targets], [{ shape: ["rows", hiddenSize] }])[0]!;
  const seed = graph.withoutRecording(() => subtract(rows, gemm(exponential(logProbabilities), head)));
  const seeds = new Map([[scaled, seed]]);
  const score = differentiate(graph, { seeds, withRespectTo: new Map([[hidden, undefined]]) }).get(hidden)!;
  return subgraph(graph, { logprob, entropy, score });
}
