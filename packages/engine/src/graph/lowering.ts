import type { GraphNode } from "./graph.js";

/** Where a graph runs. Only the CPU today. */
export type ExecutionProvider = "cpu";

/** A node as it is written to the model: names instead of values. */
export interface OnnxNode {
  readonly op: string;
  readonly domain: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: GraphNode["attributes"];
}

/**
 * Rewrites one operation for a provider that has no kernel for it (or a wrong one) into others that it has.
 * `fresh` makes names for values in between.
 */
export type Rewrite = (node: OnnxNode, fresh: () => string) => readonly OnnxNode[];

/**
 * What each provider cannot run as it stands. The operations of `ops/` speak the vocabulary of the CPU provider
 * (FusedMatMul, Gemm, SimplifiedLayerNormalization, RotaryEmbedding …), so its table is empty; another provider
 * lists here what it must spell differently, and nothing else in the engine changes.
 */
export const lowerings: Readonly<Record<ExecutionProvider, Readonly<Record<string, Rewrite>>>> = {
  cpu: {},
};

export function lower(node: OnnxNode, provider: ExecutionProvider, fresh: () => string): readonly OnnxNode[] {
  return lowerings[provider][node.op]?.(node, fresh) ?? [node];
}
