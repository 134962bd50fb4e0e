import { addedTo } from "../differentiate.js";
import type { Value } from "../graph.js";
import { fixedDimension, type Shape } from "../shape.js";
import { multiply, subtract } from "./elementwise.js";
import { gemm, sumRows } from "./linear.js";
import { reshape } from "./shape.js";

/**
 * RMSNorm over the last axis: y = x / √(mean(x²) + ε) ⊙ weight (Zhang & Sennrich 2019; LlamaRMSNorm).
 * x [rows, size], weight [size]. For norms over heads, reshape to rows first.
 */
export function rmsNorm(x: Value, weight: Value, epsilon: number): Value {
  const graph = x.graph;
  const size = fixedDimension(x.shape, -1);
  let inverseRms: Value | undefined;
  const [y] = graph.differentiable(
    [x, weight],
    () => {
      // A quick pass over memory: done again in the backward pass rather than kept.
      const outputs = graph.recomputed(() => normalise(x, weight, epsilon));
      inverseRms = outputs.inverseRms;
      return [outputs.y];
    },
    ([gradient]) => {
      if (!gradient) return [];
      // With n = x · r:  dx = r (g ⊙ w − n · mean(g ⊙ w ⊙ n)),  dw = Σ g ⊙ n.
      const unit = multiply(x, inverseRms!);
      const product = multiply(gradient, unit);
      return [
        (previous) => {
          const meanColumn = gemm(product, reshape(weight, [size, 1]), { alpha: 1 / size });
          const projected = subtract(multiply(gradient, weight), multiply(unit, meanColumn));
          return addedTo(previous, multiply(projected, inverseRms!));
        },
        (previous) => sumRows(product, previous),
      ];
    },
  );
  return y!;
}

function normalise(x: Value, weight: Value, epsilon: number): { y: Value; inverseRms: Value } {
  const statistics: Shape = [...x.shape.slice(0, -1), 1];
  const [y, inverseRms] = x.graph.node(
    "SimplifiedLayerNormalization",
    [x, weight],
    [{ shape: x.shape }, { shape: statistics }],
    { attributes: { axis: -1n, epsilon, stash_type: 1n } },
  );
  return { y: y!, inverseRms: inverseRms! };
}
