import { createSession } from "../runtime/index.js";
import type { ExecutionProvider, Tensor } from "../runtime/types.js";
import { differentiate } from "./differentiate.js";
import { Graph, type Value } from "./graph.js";
import { subgraph } from "./partition.js";
import { serialiseModel } from "./serialise.js";
import { elementCount } from "./shape.js";

/** A tensor of the float64 reference: flat numbers in row-major order. */
export type Numbers = readonly number[];

export interface VjpCase {
  /** Inputs that are differentiated: name → shape. */
  readonly inputs: Readonly<Record<string, readonly number[]>>;
  /** Other inputs, given as they are. */
  readonly fixed?: Readonly<Record<string, Tensor>>;
  readonly build: (values: Readonly<Record<string, Value>>, graph: Graph) => readonly Value[];
  /** The same function written plainly on flat arrays of doubles. */
  readonly reference: (inputs: Readonly<Record<string, Numbers>>) => readonly Numbers[];
}

export interface VjpReport {
  /** Worst difference of a forward value and of a gradient entry, relative to the largest entry of its tensor. */
  readonly forwardError: number;
  readonly gradientError: number;
}

/**
 * Test tool: runs an operation and its VJP in ONNX Runtime and compares with a plain float64 reference and that
 * reference's central differences. Gradients start from random accumulators, so accumulation is checked as well.
 */
export async function checkVjp(testCase: VjpCase, provider: ExecutionProvider = "cpu"): Promise<VjpReport> {
  const random = generator(1);
  const draw = (shape: readonly number[]) => Array.from({ length: elementCount(shape) }, () => Math.fround(random()));
  const point = Object.fromEntries(Object.entries(testCase.inputs).map(([name, shape]) => [name, draw(shape)]));

  const graph = new Graph();
  const values: Record<string, Value> = {};
  for (const [name, shape] of Object.entries(testCase.inputs)) values[name] = graph.input(name, shape);
  for (const [name, { shape, type }] of Object.entries(testCase.fixed ?? {}))
    values[name] = graph.input(name, shape, type);
  const outputs = testCase.build(values, graph);
  const feeds: Record<string, Tensor> = { ...testCase.fixed };
  const fetches: Record<string, Tensor> = {};
  const named: Record<string, Value> = {};
  const floats = (data: Numbers, shape: readonly number[]): Tensor => ({
    type: "float32",
    shape,
    data: Float32Array.from(data),
  });

  const expected = testCase.reference(point);
  const seeds = new Map<Value, Value>();
  const weights = outputs.map((output, index) => {
    const shape = output.shape as readonly number[];
    const seed = draw(shape);
    seeds.set(output, graph.input(`seed${index}`, shape));
    feeds[`seed${index}`] = floats(seed, shape);
    named[`output${index}`] = output;
    fetches[`output${index}`] = floats(new Array(elementCount(shape)).fill(0), shape);
    return seed;
  });
  const accumulators = new Map<Value, Value>();
  const starts: Record<string, Numbers> = {};
  for (const [name, shape] of Object.entries(testCase.inputs)) {
    starts[name] = draw(shape);
    accumulators.set(values[name]!, graph.input(`accumulator_${name}`, shape));
    feeds[name] = floats(point[name]!, shape);
    feeds[`accumulator_${name}`] = floats(starts[name]!, shape);
    fetches[`gradient_${name}`] = floats(new Array(elementCount(shape)).fill(0), shape);
  }
  const gradients = differentiate(graph, { seeds, withRespectTo: accumulators });
  for (const name of Object.keys(testCase.inputs)) named[`gradient_${name}`] = gradients.get(values[name]!)!;

  const part = subgraph(graph, named);
  const used = new Set(part.inputs.map((input) => input.name));
  const session = createSession(serialiseModel(part, provider), {
    name: "vjp check",
    provider,
    // Off the CPU, the graphs run as they are written, and entirely there.
    ...(provider === "cpu"
      ? {}
      : { graphOptimization: "disabled", config: { "session.disable_cpu_ep_fallback": "1" } }),
  });
  try {
    await session.run(Object.fromEntries(Object.entries(feeds).filter(([name]) => used.has(name))), fetches);
  } finally {
    session.close();
  }

  const loss = (inputs: Readonly<Record<string, Numbers>>) =>
    testCase
      .reference(inputs)
      .reduce(
        (sum, output, index) => sum + output.reduce((part, value, i) => part + value * weights[index]![i]!, 0),
        0,
      );
  let gradientError = 0;
  for (const [name, data] of Object.entries(point)) {
    const numeric = data.map((value, i) => {
      const shifted = (by: number) => ({ ...point, [name]: data.map((other, j) => (i === j ? value + by : other)) });
      return starts[name]![i]! + (loss(shifted(1e-5)) - loss(shifted(-1e-5))) / 2e-5;
    });
    gradientError = Math.max(gradientError, relativeError(fetches[`gradient_${name}`]!.data as Float32Array, numeric));
  }
  const forwardError = Math.max(
    ...expected.map((output, index) => relativeError(fetches[`output${index}`]!.data as Float32Array, output)),
  );
  return { forwardError, gradientError };
}

/** Largest difference over the largest entry of the expected tensor. NaN counts as infinite. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let difference = 0;
  let scale = 1e-12;
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(actual[i]! - expected[i]!);
    difference = Math.max(difference, Number.isNaN(error) ? Number.POSITIVE_INFINITY : error);
    scale = Math.max(scale, Math.abs(expected[i]!));
  }
  return difference / scale;
}

/** Deterministic numbers in (−1, 1): test data, nothing more. */
export function generator(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2147483648 - 1;
  };
}
