import type { Graph, Value } from "./graph.js";
import { add } from "./ops/elementwise.js";
import { formatShape, sameShape } from "./shape.js";

export interface DifferentiateOptions {
  /** ∂loss/∂value for the values the loss depends on. */
  readonly seeds: ReadonlyMap<Value, Value>;
  /**
   * The values to differentiate by. The gradient is added to the mapped value (an accumulator that is fed), or starts
   * at nothing where that is undefined.
   */
  readonly withRespectTo: ReadonlyMap<Value, Value | undefined>;
}

/**
 * Reverse-mode differentiation: walks the tape backwards and appends the nodes that compute the gradients.
 * @returns the gradient of each value in `withRespectTo` (accumulator included); an error if the seeds do not reach one.
 */
export function differentiate(graph: Graph, options: DifferentiateOptions): Map<Value, Value> {
  const { seeds, withRespectTo } = options;
  const needed = new Set<Value>(withRespectTo.keys());
  for (const entry of graph.tape)
    if (entry.inputs.some((input) => needed.has(input))) for (const output of entry.outputs) needed.add(output);

  const gradients = new Map<Value, Value>();
  for (const [value, seed] of seeds) {
    if (!sameShape(value.shape, seed.shape))
      throw new Error(
        `Gradient of "${value.name}" has shape ${formatShape(seed.shape)}, not ${formatShape(value.shape)}.`,
      );
    gradients.set(value, seed);
  }
  const touched = new Set<Value>(seeds.keys());

  graph.withoutRecording(() => {
    for (const entry of [...graph.tape].reverse()) {
      if (!entry.inputs.some((input) => needed.has(input))) continue;
      const outputGradients = entry.outputs.map((output) => gradients.get(output));
      if (outputGradients.every((gradient) => gradient === undefined)) continue;
      const terms = entry.vjp(outputGradients);
      for (const [index, input] of entry.inputs.entries()) {
        const term = terms[index];
        if (!term || !needed.has(input)) continue;
        // A seed on an inner value counts as a first term, like the terms of other readers.
        const previous = gradients.get(input) ?? withRespectTo.get(input);
        gradients.set(input, term(previous));
        touched.add(input);
      }
    }
  });

  const result = new Map<Value, Value>();
  for (const value of withRespectTo.keys()) {
    const gradient = gradients.get(value);
    if (!gradient || !touched.has(value)) throw new Error(`The loss does not depend on "${value.name}".`);
    result.set(value, gradient);
  }
  return result;
}

/** A gradient term that has no cheaper way than an addition. */
export function addedTo(previous: Value | undefined, term: Value): Value {
  return previous ? add(previous, term) : term;
}
