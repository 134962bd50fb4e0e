import { Graph, type Shape, serialiseModel, subgraph, type Value } from "../graph/index.js";
import { streamedArray } from "../runtime/huge-pages.js";
import { type BoundRun, createSession } from "../runtime/index.js";
import type { ExecutionProvider, Session, Tensor } from "../runtime/types.js";
import type { AdamWOptions, OptimizerStepResult } from "../types.js";
import type { ParameterStore } from "../weights/index.js";
import { float } from "./buffers.js";
import { sharedThreads } from "./sessions.js";

/** Elements updated by one run: a few arrays of this size stay in the caches while some fifteen operations read them. */
const CHUNK_ELEMENTS = 1 << 17;
/** Smaller tensors are not worth a call. */
const MIN_GRAPH_ELEMENTS = 1024;
const MAX_LANES = 4;

/** First and second moments in the layout of the parameter arena, and the number of updates done. */
export interface AdamWState {
  readonly firstMoment: Float32Array;
  readonly secondMoment: Float32Array;
  step: number;
}

export function createAdamWState(store: ParameterStore): AdamWState {
  const size = store.data.length;
  return { firstMoment: streamedArray(size), secondMoment: streamedArray(size), step: 0 };
}

/** L2 norm over the whole gradient arena, summed in double precision. */
export function gradientNorm(gradients: Float32Array): number {
  // Four sums: they are independent, so the processor does not wait for each addition.
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  const even = gradients.length - (gradients.length % 4);
  for (let i = 0; i < even; i += 4) {
    a += gradients[i]! * gradients[i]!;
    b += gradients[i + 1]! * gradients[i + 1]!;
    c += gradients[i + 2]! * gradients[i + 2]!;
    d += gradients[i + 3]! * gradients[i + 3]!;
  }
  for (let i = even; i < gradients.length; i++) a += gradients[i]! * gradients[i]!;
  return Math.sqrt(a + b + c + d);
}

export const coefficientNames = [
  "keep",
  "beta1",
  "rest1",
  "beta2",
  "rest2",
  "stepSize",
  "correction",
  "epsilon",
] as const;
export type Coefficients = Readonly<Record<(typeof coefficientNames)[number], number>>;

/** The numbers of update `step` (from 1); those of the gradient contain the clipping. */
export function adamWCoefficients(options: AdamWOptions, step: number, gradNorm: number): Coefficients {
  const clip = options.maxGradNorm > 0 ? Math.min(1, options.maxGradNorm / (gradNorm + 1e-6)) : 1;
  return {
    keep: 1 - options.learningRate * options.weightDecay,
    beta1: options.beta1,
    rest1: (1 - options.beta1) * clip,
    beta2: options.beta2,
    rest2: (1 - options.beta2) * clip * clip,
    stepSize: options.learningRate / (1 - options.beta1 ** step),
    correction: 1 / Math.sqrt(1 - options.beta2 ** step),
    epsilon: options.epsilon,
  };
}

/**
 * AdamW (Loshchilov & Hutter 2019) with the gradient clipped to a global L2 norm. Follows torch.optim.AdamW and
 * clip_grad_norm_ (scale = maxGradNorm / (norm + 1e-6), at most 1).
 */
export class AdamW {
  private session: Session | undefined;
  /** Updates of the matrices, dealt out to lanes that run side by side. */
  private lanes: BoundRun[][] = [];
  private readonly inputs = Object.fromEntries(coefficientNames.map((name) => [name, new Float32Array(1)])) as Readonly<
    Record<keyof Coefficients, Float32Array>
  >;

  constructor(
    private readonly store: ParameterStore,
    readonly state: AdamWState,
    private readonly threads: number | undefined,
  ) {}

  /**
   * One update; clears the gradient. A gradient whose norm is not finite is dropped: weights, moments and step count
   * stay as they are. Decay applies to parameters with two or more dimensions.
   */
  async step(options: AdamWOptions): Promise<OptimizerStepResult> {
    const { store, state } = this;
    const gradNorm = gradientNorm(store.gradients);
    if (!Number.isFinite(gradNorm)) {
      store.gradients.fill(0);
      return { gradNorm, skipped: true };
    }
    state.step++;
    const coefficients = adamWCoefficients(options, state.step, gradNorm);
    for (const name of coefficientNames) this.inputs[name][0] = coefficients[name];
    this.session ??= this.prepare();
    await Promise.all(
      this.lanes.map(async (runs) => {
        for (const run of runs) await run.run();
      }),
    );
    for (const { offset, data, shape } of store.parameters.values())
      if (data.length < MIN_GRAPH_ELEMENTS) {
        const keep = shape.length >= 2 ? coefficients.keep : 1;
        updateSmall(store, state, offset, offset + data.length, { ...coefficients, keep });
      }
    store.gradients.fill(0);
    return { gradNorm, skipped: false };
  }

  close(): void {
    for (const run of this.lanes.flat()) run.close();
    this.lanes = [];
    this.session?.close();
    this.session = undefined;
  }

  private prepare(): Session {
    const { store, state } = this;
    const threads = sharedThreads(this.threads);
    const session = createSession(updateModel(["elements"], "cpu"), { name: "AdamW", threads, parallelism: "caller" });
    const laneCount = Math.min(threads, MAX_LANES);
    this.lanes = Array.from({ length: laneCount }, () => []);
    let next = 0;
    for (const { offset, data, shape } of store.parameters.values()) {
      if (data.length < MIN_GRAPH_ELEMENTS) continue;
      const decayed = shape.length >= 2;
      for (let start = offset; start < offset + data.length; start += CHUNK_ELEMENTS) {
        const end = Math.min(start + CHUNK_ELEMENTS, offset + data.length);
        const part = (arena: Float32Array) => float(arena.subarray(start, end), [end - start]);
        const [weight, first, second] = [part(store.data), part(state.firstMoment), part(state.secondMoment)];
        const feeds: Record<string, Tensor> = { weight, first, second, gradient: part(store.gradients) };
        for (const name of coefficientNames)
          feeds[name] = float(name === "keep" && !decayed ? Float32Array.of(1) : this.inputs[name], []);
        // Every element is read before it is written, by operations that work element by element: in place is safe.
        const run = session.bind(feeds, { newWeight: weight, newFirst: first, newSecond: second });
        this.lanes[next++ % laneCount]!.push(run);
      }
    }
    return session;
  }
}

/** The update as a graph: about three times as fast as a loop in JavaScript, and it leaves the event loop alone. */
export function updateModel(shape: Shape, provider: ExecutionProvider): Uint8Array {
  const graph = new Graph();
  const [weight, first, second, gradient] = ["weight", "first", "second", "gradient"].map((name) =>
    graph.input(name, shape),
  ) as [Value, Value, Value, Value];
  const scalars = Object.fromEntries(coefficientNames.map((name) => [name, graph.input(name, [])])) as Readonly<
    Record<keyof Coefficients, Value>
  >;
  const { keep, beta1, rest1, beta2, rest2, stepSize, correction, epsilon } = scalars;
  const node = (op: string, ...inputs: Value[]) => graph.node(op, inputs, [{ shape }])[0]!;
  const newFirst = node("Add", node("Mul", first, beta1), node("Mul", gradient, rest1));
  const squared = node("Mul", node("Mul", gradient, gradient), rest2);
  const newSecond = node("Add", node("Mul", second, beta2), squared);
  const denominator = node("Add", node("Mul", node("Sqrt", newSecond), correction), epsilon);
  const change = node("Div", node("Mul", newFirst, stepSize), denominator);
  const newWeight = node("Sub", node("Mul", weight, keep), change);
  return serialiseModel(subgraph(graph, { newWeight, newFirst, newSecond }), provider);
}

function updateSmall(
  { data, gradients }: ParameterStore,
  { firstMoment, secondMoment }: AdamWState,
  start: number,
  end: number,
  { keep, beta1, rest1, beta2, rest2, stepSize, correction, epsilon }: Coefficients,
): void {
  for (let i = start; i < end; i++) {
    const gradient = gradients[i]!;
    const first = beta1 * firstMoment[i]! + rest1 * gradient;
    const second = beta2 * secondMoment[i]! + rest2 * gradient * gradient;
    firstMoment[i] = first;
    secondMoment[i] = second;
    data[i] = keep * data[i]! - (stepSize * first) / (Math.sqrt(second) * correction + epsilon);
  }
}
