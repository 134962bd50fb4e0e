import type { Constant, Graph, GraphNode, Value } from "./graph.js";

/** A part of a graph that is executed as one: what `serialiseModel` writes. */
export interface Subgraph {
  readonly nodes: readonly GraphNode[];
  readonly constants: readonly Constant[];
  readonly inputs: readonly Value[];
  /** Output names and the values they stand for. A value may be both an input of another part and an output here. */
  readonly outputs: readonly (readonly [name: string, value: Value])[];
}

/** The part of the graph that the outputs need; only inputs in use remain. */
export function subgraph(graph: Graph, outputs: Readonly<Record<string, Value>>): Subgraph {
  return collect(graph, Object.entries(outputs), () => false);
}

/** A value that the forward part writes under `output` and the backward part reads under `value.name`. */
export interface SavedValue {
  readonly output: string;
  readonly value: Value;
}

export interface ForwardAndBackward {
  readonly forward: Subgraph;
  readonly backward: Subgraph;
  readonly saved: readonly SavedValue[];
}

/**
 * Cuts a differentiated graph in two, so that the caller can look at the forward outputs before it decides the seeds.
 * Forward nodes the backward part needs are either computed again (`recompute`) or their outputs are saved.
 * @param forwardNodes number of nodes the graph had before `differentiate`
 */
export function partition(
  graph: Graph,
  forwardNodes: number,
  forwardOutputs: Readonly<Record<string, Value>>,
  backwardOutputs: Readonly<Record<string, Value>>,
): ForwardAndBackward {
  const forwardSet = new Set(graph.nodes.slice(0, forwardNodes));
  const isSaved = (value: Value) => value.node !== undefined && forwardSet.has(value.node) && !value.node.recompute;
  const backward = collect(graph, Object.entries(backwardOutputs), isSaved);
  const outputs: (readonly [string, Value])[] = Object.entries(forwardOutputs);
  const saved = backward.inputs.filter(isSaved).map((value): SavedValue => {
    const known = outputs.find(([, output]) => output === value);
    if (known) return { output: known[0], value };
    outputs.push([value.name, value]);
    return { output: value.name, value };
  });
  return { forward: collect(graph, outputs, () => false), backward, saved };
}

function collect(
  graph: Graph,
  outputs: readonly (readonly [string, Value])[],
  isBoundary: (value: Value) => boolean,
): Subgraph {
  const used = new Set<Value>();
  const nodes = new Set<GraphNode>();
  const pending = outputs.map(([, value]) => value);
  for (let value = pending.pop(); value; value = pending.pop()) {
    if (used.has(value)) continue;
    used.add(value);
    if (!value.node || isBoundary(value) || nodes.has(value.node)) continue;
    nodes.add(value.node);
    for (const input of value.node.inputs) if (input) pending.push(input);
  }
  const boundary = [...used].filter(isBoundary);
  return {
    nodes: graph.nodes.filter((node) => nodes.has(node)),
    constants: graph.constants.filter(({ value }) => used.has(value)),
    inputs: [...graph.inputs.filter((value) => used.has(value)), ...boundary],
    outputs,
  };
}
