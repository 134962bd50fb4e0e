import type { Value } from "../graph.js";
import { fixedDimension, formatShape, type Shape } from "../shape.js";
import { unary } from "./elementwise.js";
import { concatenate } from "./shape.js";

/** Where the gradient of every row lies that `spreadRows` wrote to slots: its rows are these, one after another. */
export interface SpreadSources {
  /** int32 [many, copies]: rows that were written to several slots, filled up with slots whose gradient is zero. */
  readonly many: Value;
  /** int32 [rows − many]: rows that were written to one slot. */
  readonly one: Value;
}

/**
 * Rows of x [rows, size] laid out for attention: slot by slot, the row at int32 `slots` [batch, heads, time].
 * A row may be in several slots, or in one of many that nobody asks about; its gradient is the sum over `sources`.
 * @returns [batch, heads, time, size]
 */
export function spreadRows(x: Value, slots: Value, sources: Value | SpreadSources): Value {
  const size = fixedDimension(x.shape, 1);
  return unary(
    x,
    () => take(x, slots),
    (gradient) => {
      const flat = flatten(gradient, size);
      if (!("many" in sources)) return take(flat, sources);
      const { many, one } = sources;
      const copies = take(flat, many);
      const [sums] = x.graph.node("ReduceSum", [copies, x.graph.integers([1])], [{ shape: [many.shape[0]!, size] }], {
        attributes: { keepdims: 0n },
      });
      return concatenate([sums!, take(flat, one)], 0, x.shape);
    },
  );
}

/**
 * The inverse of `spreadRows`: the number in x [batch, heads, time, size] at flat int32 slot `rows[i]` becomes row i.
 * @param slots int32 [batch, heads, time]: the row that was taken from each slot; of the others, a row without gradient
 * @returns [rows, size]
 */
export function collectRows(x: Value, rows: Value, slots: Value): Value {
  const size = fixedDimension(x.shape, -1);
  return unary(
    x,
    () => take(flatten(x, size), rows),
    (gradient) => take(gradient, slots),
  );
}

/** [..., size] → [rows, size]. */
function flatten(x: Value, size: number): Value {
  const shape: Shape = [x.shape.slice(0, -1).join("*"), size];
  return x.graph.node("Reshape", [x, x.graph.integers([-1, size])], [{ shape }], { recompute: true })[0]!;
}

function take(x: Value, indices: Value): Value {
  const [, size] = x.shape;
  if (x.shape.length !== 2 || size === undefined)
    throw new Error(`Rows are taken from [rows, size], not from ${formatShape(x.shape)}.`);
  return x.graph.node("Gather", [x, indices], [{ shape: [...indices.shape, size] }])[0]!;
}
