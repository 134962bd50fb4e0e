import type { ElementType, TensorData } from "../runtime/types.js";
import type { Shape } from "./shape.js";

/** A tensor in a graph. Identity is the object: two values are the same when they are the same object. */
export interface Value {
  readonly graph: Graph;
  readonly name: string;
  readonly type: ElementType;
  readonly shape: Shape;
  /** The node that computes it; absent for inputs and constants. */
  readonly node?: GraphNode;
}

export interface Constant {
  readonly value: Value;
  readonly data: TensorData;
}

export type Attribute = number | bigint | string | readonly number[] | readonly bigint[];

/** One ONNX operation. Integers in attributes are bigint, floats are number. */
export interface GraphNode {
  readonly op: string;
  readonly domain: "" | "com.microsoft";
  readonly inputs: readonly (Value | undefined)[];
  readonly outputs: readonly Value[];
  readonly attributes: Readonly<Record<string, Attribute>>;
  /** The backward graph computes it again from its inputs instead of keeping its output: free or nearly so. */
  readonly recompute: boolean;
}

export interface OutputSpecification {
  readonly shape: Shape;
  readonly type?: ElementType;
}

export interface NodeOptions {
  readonly domain?: "" | "com.microsoft";
  readonly attributes?: Readonly<Record<string, Attribute>>;
  readonly recompute?: boolean;
}

/**
 * One term of ∂loss/∂input. Given the sum of the terms so far it returns the new sum, so that an operation which can
 * accumulate (GEMM) does so without another pass. It is not called for inputs that need no gradient.
 */
export type GradientTerm = (previous: Value | undefined) => Value;

/** A differentiable operation: which values it read and wrote, and its vector-Jacobian product. */
export interface TapeEntry {
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  /** Receives ∂loss/∂output (undefined = zero) and returns one term an input (undefined = zero). */
  readonly vjp: (gradients: readonly (Value | undefined)[]) => readonly (GradientTerm | undefined)[];
}

/**
 * A graph under construction. Operations (`ops/`) append nodes and, if differentiable, an entry on the tape.
 * Nodes are in topological order because a value must exist before it is used.
 */
export class Graph {
  readonly inputs: Value[] = [];
  readonly constants: Constant[] = [];
  readonly nodes: GraphNode[] = [];
  readonly tape: TapeEntry[] = [];
  private recording = true;
  private recomputing = false;
  private readonly names = new Set<string>();
  private readonly constantsByKey = new Map<string, Value>();

  input(name: string, shape: Shape, type: ElementType = "float32"): Value {
    const value = { graph: this, name: this.claim(name), type, shape };
    this.inputs.push(value);
    return value;
  }

  /** A constant that is part of the model; equal ones are shared. Meant for shapes, axes and scalars, not for weights. */
  constant(data: TensorData, shape: readonly number[], type: ElementType): Value {
    const key = `${type}[${shape}]${data.join()}`;
    const known = this.constantsByKey.get(key);
    if (known) return known;
    const value = { graph: this, name: this.claim(`constant${this.constants.length}`), type, shape };
    this.constants.push({ value, data });
    this.constantsByKey.set(key, value);
    return value;
  }

  scalar(value: number): Value {
    return this.constant(Float32Array.of(value), [], "float32");
  }

  integers(values: readonly number[]): Value {
    return this.constant(BigInt64Array.from(values, BigInt), [values.length], "int64");
  }

  /** Appends a node. `label` starts the names of its outputs, for profiles and errors. */
  node(
    op: string,
    inputs: readonly (Value | undefined)[],
    outputs: readonly OutputSpecification[],
    options: NodeOptions = {},
  ): Value[] {
    for (const input of inputs)
      if (input && input.graph !== this) throw new Error(`${op}: input "${input.name}" belongs to another graph.`);
    const index = this.nodes.length;
    const values: Value[] = [];
    const node: GraphNode = {
      op,
      domain: options.domain ?? "",
      inputs,
      outputs: values,
      attributes: options.attributes ?? {},
      recompute: options.recompute ?? this.recomputing,
    };
    for (const [position, { shape, type = "float32" }] of outputs.entries())
      values.push({ graph: this, name: this.claim(`${op}${index}_${position}`), type, shape, node });
    this.nodes.push(node);
    return values;
  }

  /**
   * Runs `compute` with recording off and records it as one differentiable operation. Nested operations therefore
   * do not differentiate themselves: the outermost VJP counts.
   */
  differentiable(inputs: readonly Value[], compute: () => readonly Value[], vjp: TapeEntry["vjp"]): readonly Value[] {
    const outputs = this.withoutRecording(compute);
    if (this.recording) this.tape.push({ inputs, outputs, vjp });
    return outputs;
  }

  withoutRecording<T>(compute: () => T): T {
    const before = this.recording;
    this.recording = false;
    try {
      return compute();
    } finally {
      this.recording = before;
    }
  }

  /** Marks the nodes that `compute` appends as ones the backward graph repeats rather than keep their outputs. */
  recomputed<T>(compute: () => T): T {
    const before = this.recomputing;
    this.recomputing = true;
    try {
      return compute();
    } finally {
      this.recomputing = before;
    }
  }

  private claim(name: string): string {
    if (this.names.has(name)) throw new Error(`The graph already has a value named "${name}".`);
    this.names.add(name);
    return name;
  }
}
