import type { Value } from "../graph.js";
import { type Dimension, formatShape, type Shape } from "../shape.js";
import { unary } from "./elementwise.js";

/**
 * The same elements in another shape. At most one symbolic size may be new; the others must stay at their axis.
 * Costs nothing (ONNX Runtime aliases the memory), so the backward graph repeats it rather than keep the result.
 * @param gradientSizes int64 sizes that undo it, for when they cannot be inferred (two symbolic sizes became one)
 */
export function reshape(x: Value, shape: Shape, gradientSizes?: Value): Value {
  return unary(
    x,
    () => {
      const target = x.graph.integers(targetSizes(x.shape, shape));
      return x.graph.node("Reshape", [x, target], [{ shape }], { recompute: true })[0]!;
    },
    (gradient) => (gradientSizes ? reshapeBy(gradient, gradientSizes, x.shape) : reshape(gradient, x.shape)),
  );
}

function targetSizes(from: Shape, to: Shape): number[] {
  let inferred = 0;
  return to.map((dimension, axis) => {
    if (typeof dimension === "number") return dimension;
    if (from[axis] === dimension) return 0;
    inferred++;
    if (inferred > 1) throw new Error(`Cannot infer two sizes of ${formatShape(to)} from ${formatShape(from)}.`);
    return -1;
  });
}

/**
 * The same elements in a shape whose sizes are only known at run time: `sizes` is an int64 tensor in the sense of
 * ONNX Reshape.
 */
export function reshapeBy(x: Value, sizes: Value, shape: Shape): Value {
  return unary(
    x,
    () => x.graph.node("Reshape", [x, sizes], [{ shape }], { recompute: true })[0]!,
    (gradient) => reshape(gradient, x.shape),
  );
}

/** Reorders axes: axis i of the result is axis `permutation[i]` of x. */
export function transpose(x: Value, permutation: readonly number[]): Value {
  return unary(
    x,
    () => {
      const shape = permutation.map((axis): Dimension => x.shape[axis]!);
      return x.graph.node("Transpose", [x], [{ shape }], { attributes: { perm: permutation.map(BigInt) } })[0]!;
    },
    (gradient) =>
      transpose(
        gradient,
        permutation.map((_, axis) => permutation.indexOf(axis)),
      ),
  );
}

/** The end of an axis whose size is not known, for `slice`. */
export const END = Number.MAX_SAFE_INTEGER;

/** Elements `start` to `end` (exclusive) of an axis; `shape` is that of the result. Not recorded. */
export function slice(x: Value, axis: number, start: number, end: number, shape: Shape): Value {
  const bounds = [start, end, axis].map((value) => x.graph.integers([value]));
  return x.graph.node("Slice", [x, ...bounds], [{ shape }])[0]!;
}

/** Joins values along an axis; `shape` is that of the result. Not recorded. */
export function concatenate(values: readonly Value[], axis: number, shape: Shape): Value {
  return values[0]!.graph.node("Concat", values, [{ shape }], { attributes: { axis: BigInt(axis) } })[0]!;
}

/** Sum over axes, which stay with size 1. */
export function reduceSum(x: Value, axes: readonly number[]): Value {
  return unary(
    x,
    () => {
      const shape = x.shape.map((dimension, axis): Dimension => (axes.includes(axis) ? 1 : dimension));
      return x.graph.node("ReduceSum", [x, x.graph.integers(axes)], [{ shape }], { attributes: { keepdims: 1n } })[0]!;
    },
    (gradient) => expandAs(gradient, x),
  );
}

/** Repeats axes of size 1 to the shape of another value of the same rank. */
export function expandAs(x: Value, like: Value): Value {
  const axes = like.shape.flatMap((dimension, axis) => (dimension === x.shape[axis] ? [] : [axis]));
  return unary(
    x,
    () => {
      const shape = [like.shape.length];
      const sizes = like.graph.node("Shape", [like], [{ shape, type: "int64" }], { recompute: true })[0]!;
      return x.graph.node("Expand", [x, sizes], [{ shape: like.shape }])[0]!;
    },
    (gradient) => reduceSum(gradient, axes),
  );
}
