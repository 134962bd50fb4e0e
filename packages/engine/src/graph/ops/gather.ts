import type { Value } from "../graph.js";
import { formatShape, type Shape } from "../shape.js";

/**
 * Rows of x [rows, size] at int32 `indices` [count]: an embedding lookup. Its gradient is added to the rows that were
 * read; an index may occur more than once.
 */
export function gatherRows(x: Value, indices: Value): Value {
  const [rows, size] = x.shape;
  const [count] = indices.shape;
  if (rows === undefined || size === undefined || x.shape.length !== 2 || count === undefined)
    throw new Error(`gatherRows: x ${formatShape(x.shape)}, indices ${formatShape(indices.shape)}.`);
  const [y] = x.graph.differentiable(
    [x],
    () => x.graph.node("Gather", [x, indices], [{ shape: [count, size] }]),
    ([gradient]) => (gradient ? [(previous) => addRows(previous ?? zerosLike(x), indices, gradient)] : []),
  );
  return y!;
}

/** x with rows added at indices. */
function addRows(x: Value, indices: Value, rows: Value): Value {
  const { graph } = x;
  const shape: Shape = [...indices.shape, 1];
  const [column] = graph.node("Unsqueeze", [indices, graph.integers([1])], [{ shape, type: "int32" }]);
  const [points] = graph.node("Cast", [column], [{ shape, type: "int64" }], { attributes: { to: 7n } });
  return graph.node("ScatterND", [x, points, rows], [{ shape: x.shape }], { attributes: { reduction: "add" } })[0]!;
}

function zerosLike(x: Value): Value {
  const [sizes] = x.graph.node("Shape", [x], [{ shape: [x.shape.length], type: "int64" }]);
  return x.graph.node("Expand", [x.graph.scalar(0), sizes], [{ shape: x.shape }])[0]!;
}
