import type { ElementType, ExecutionProvider, TensorData } from "../../runtime/types.js";
import type { GraphNode } from "../graph.js";
import type { Shape } from "../shape.js";
import { webgpuRewrites } from "./webgpu.js";

/** A value as it is written to the model. */
export interface OnnxValue {
  readonly name: string;
  readonly shape: Shape;
}

/** A node as it is written to the model: names instead of graph values. `undefined` is an input that is left out. */
export interface OnnxNode {
  readonly op: string;
  readonly domain: string;
  readonly inputs: readonly (OnnxValue | undefined)[];
  readonly outputs: readonly OnnxValue[];
  readonly attributes: GraphNode["attributes"];
}

/** What a rewrite may make: nodes with values in between, and constants. */
export interface LoweringContext {
  /** Appends a node with one output of a new name, or of the name given, and returns that. */
  emit(
    op: string,
    inputs: OnnxNode["inputs"],
    shape: Shape,
    options?: { readonly attributes?: GraphNode["attributes"]; readonly domain?: string; readonly output?: OnnxValue },
  ): OnnxValue;
  constant(data: TensorData, shape: readonly number[], type: ElementType): OnnxValue;
}

/** Spells one operation in others that a provider has (right) kernels for. Outputs keep their names. */
export type Rewrite = (node: OnnxNode, context: LoweringContext) => void;

/**
 * What each provider cannot run as it stands. The operations of `ops/` speak the vocabulary of the CPU provider
 * (FusedMatMul, Gemm, SimplifiedLayerNormalization, RotaryEmbedding …), which CUDA shares; another provider lists here
 * what it must spell differently, and nothing else in the engine changes.
 */
const rewrites: Readonly<Record<ExecutionProvider, Readonly<Record<string, Rewrite>>>> = {
  cpu: {},
  cuda: {},
  webgpu: webgpuRewrites,
};

export interface LoweredConstant {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: ElementType;
  readonly data: TensorData;
}

/** Rewrites nodes for a provider, and drops what a rewrite made that nobody reads. */
export function lower(
  nodes: readonly OnnxNode[],
  provider: ExecutionProvider,
  outputs: ReadonlySet<string>,
): { readonly nodes: readonly OnnxNode[]; readonly constants: readonly LoweredConstant[] } {
  const table = rewrites[provider];
  const lowered: OnnxNode[] = [];
  const constants = new Map<string, LoweredConstant>();
  let fresh = 0;
  const context: LoweringContext = {
    emit: (op, inputs, shape, { attributes = {}, domain = "", output } = {}) => {
      const value = output ?? { name: `lowered${fresh++}`, shape };
      lowered.push({ op, domain, inputs, outputs: [value], attributes });
      return value;
    },
    constant: (data, shape, type) => {
      const key = `${type}[${shape}]${data.join()}`;
      let constant = constants.get(key);
      if (!constant) {
        constant = { name: `loweredConstant${constants.size}`, shape, type, data };
        constants.set(key, constant);
      }
      return constant;
    },
  };
  for (const node of nodes) {
    const rewrite = table[node.op];
    if (rewrite) rewrite(node, context);
    else lowered.push(node);
  }
  if (lowered.length === nodes.length) return { nodes: lowered, constants: [...constants.values()] };
  return { nodes: withoutUnread(lowered, outputs), constants: [...constants.values()] };
}

/** Nodes are in topological order: backwards, every reader is met before what it reads. */
function withoutUnread(nodes: readonly OnnxNode[], outputs: ReadonlySet<string>): OnnxNode[] {
  const read = new Set(outputs);
  const kept: OnnxNode[] = [];
  for (const node of [...nodes].reverse()) {
    if (!node.outputs.some(({ name }) => read.has(name))) continue;
    for (const input of node.inputs) if (input) read.add(input.name);
    kept.push(node);
  }
  return kept.reverse();
}
