import {
  differentiate,
  type ForwardAndBackward,
  Graph,
  linear,
  multiply,
  partition,
  rmsNorm,
  type Subgraph,
  subgraph,
  tokenDistribution,
  type Value,
} from "../graph/index.js";
import type { ModelConfig } from "../weights/index.js";

/**
 * Forward outputs `logprob` and `entropy` [rows, 1]. Backward makes from `dlogprob` (and `dentropy`) `dhidden` and the
 * accumulated gradients `gradient.norm` and `gradient.head`.
 */
export interface HeadGraphs extends ForwardAndBackward {
  /** Forward without the values that backward reads. */
  readonly evaluation: Subgraph;
}

/**
 * Final norm and language-model head on rows of hidden states that carry loss.
 * Logits are divided by the temperature by scaling the normed hidden states: hidden instead of vocabulary numbers a row.
 */
export function headGraphs(config: ModelConfig, options: { readonly entropyGradient: boolean }): HeadGraphs {
  const { hiddenSize, vocabularySize } = config;
  const graph = new Graph();
  const hidden = graph.input("hidden", ["rows", hiddenSize]);
  const norm = graph.input("norm", [hiddenSize]);
  const head = graph.input("head", [vocabularySize, hiddenSize]);
  const inverseTemperature = graph.input("inverseTemperature", []);
  const targets = graph.input("targets", ["rows", 1], "int64");
  const scaled = multiply(rmsNorm(hidden, norm, config.normEpsilon), inverseTemperature);
  const { logprob, entropy } = tokenDistribution(linear(scaled, head), targets);
  const forwardNodes = graph.nodes.length;

  const seeds = new Map<Value, Value>([[logprob, graph.input("dlogprob", logprob.shape)]]);
  if (options.entropyGradient) seeds.set(entropy, graph.input("dentropy", entropy.shape));
  const gradients = differentiate(graph, {
    seeds,
    withRespectTo: new Map<Value, Value | undefined>([
      [hidden, undefined],
      [norm, graph.input("accumulator.norm", norm.shape)],
      [head, graph.input("accumulator.head", head.shape)],
    ]),
  });
  const parts = partition(
    graph,
    forwardNodes,
    { logprob, entropy },
    { dhidden: gradients.get(hidden)!, "gradient.norm": gradients.get(norm)!, "gradient.head": gradients.get(head)! },
  );
  return { ...parts, evaluation: subgraph(graph, { logprob, entropy }) };
}
