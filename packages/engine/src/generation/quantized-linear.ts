import { add, gemm, multiply, type Value } from "../graph/index.js";
import type { ProjectionStrategy } from "../model/index.js";

/** Zero of the quantised activations: they lie within ±127 of it. */
const ZERO_POINT = 128;
const MAX_ACTIVATION = 127;

/** Rows [n, in] as uint8, each with a scale of its own: x ≈ scale · (uint8 − 128). */
interface QuantizedRows {
  readonly rows: Value;
  /** [n, 1]. */
  readonly scale: Value;
}

/**
 * Products of int8 weights [in, out] (`quantization.ts`) and activations that are rounded to 8 bits row by row. A row's
 * result depends on that row alone, and sums of integers are exact: neither the rest of a batch nor the number of threads
 * changes a bit. (ONNX Runtime's own DynamicQuantizeMatMul has one scale for all rows.) Adapters stay in float32.
 * @param scales the scales of each int8 weight, [out]
 */
export function quantizedProjection(scales: ReadonlyMap<Value, Value>): ProjectionStrategy {
  // Queries, keys and values have the same input, gate and up as well.
  const known = new Map<Value, QuantizedRows>();
  const quantized = (x: Value) => {
    const rows = known.get(x) ?? quantizeRows(x);
    known.set(x, rows);
    return rows;
  };
  return (x, weight, { bias, factors, residual } = {}) => {
    const { rows, scale } = quantized(x);
    const product = x.graph.node(
      "MatMulIntegerToFloat",
      [rows, weight, x.graph.scalar(1), scales.get(weight)!, zeroPoint(x)],
      [{ shape: [x.shape[0]!, weight.shape[1]!] }],
      { domain: "com.microsoft" },
    )[0]!;
    const scaled = multiply(product, scale);
    const y = bias ? add(scaled, bias) : scaled;
    const sum = residual ? add(residual, y) : y;
    if (!factors) return sum;
    const projected = gemm(x, factors.a, { transposeB: true });
    return gemm(projected, factors.b, { transposeB: true, alpha: factors.scale, c: sum });
  };
}

const zeroPoint = ({ graph }: Value) => graph.constant(Uint8Array.of(ZERO_POINT), [], "uint8");

/** A row of zeros has the scale 0: whatever 0 / 0 is rounded to, its product with the scale is 0. */
function quantizeRows(x: Value): QuantizedRows {
  const { graph, shape } = x;
  const column = { shape: [shape[0]!, 1] };
  const magnitudes = graph.node("Abs", [x], [{ shape }])[0]!;
  const largest = graph.node("ReduceMax", [magnitudes, graph.integers([1])], [column])[0]!;
  const scale = multiply(largest, graph.scalar(1 / MAX_ACTIVATION));
  const normalized = graph.node("Div", [x, scale], [{ shape }])[0]!;
  const inputs = [normalized, graph.scalar(1), zeroPoint(x)];
  return { rows: graph.node("QuantizeLinear", inputs, [{ shape, type: "uint8" }])[0]!, scale };
}
