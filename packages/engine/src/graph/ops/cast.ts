import type { Value } from "../graph.js";

/** TensorProto.DataType FLOAT of onnx.proto3. */
const FLOAT = 1n;

/**
 * 16-bit numbers as float32, exactly; float32 as it is. Not differentiable: for weights that are not trained. The backward
 * graph widens again rather than keep the result.
 */
export function widened(x: Value): Value {
  if (x.type === "float32") return x;
  return x.graph.node("Cast", [x], [{ shape: x.shape }], { attributes: { to: FLOAT }, recompute: true })[0]!;
}
