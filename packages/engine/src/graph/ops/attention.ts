import { addedTo } from "../differentiate.js";
import type { Value } from "../graph.js";
import { fixedDimension, type Shape } from "../shape.js";
import { add, multiply, subtract } from "./elementwise.js";
import { matmul } from "./linear.js";
import { reduceSum, reshape, transpose } from "./shape.js";

export interface CausalAttentionInputs {
  /** [batch, heads, time, headDim], rotated. */
  readonly query: Value;
  /** [batch, kvHeads, time, headDim], rotated. */
  readonly key: Value;
  /** [batch, kvHeads, time, headDim]. */
  readonly value: Value;
  /** [time, time]: 0 where the row may look at the column, a large negative number elsewhere. */
  readonly mask: Value;
  /**
   * Compute the probabilities again in the backward pass instead of keeping them: they take heads × time numbers a
   * token, which is most of the memory once sequences are long, and cost one product.
   */
  readonly recomputeProbabilities?: boolean;
}

/**
 * Scaled dot-product attention with grouped key-value heads (Ainslie et al. 2023): softmax(Q Kᵀ / √headDim + mask) V.
 * The query heads of one group are stacked as rows, so that keys and values are never repeated.
 * Padding at the end of a row needs no mask of its own: no real token looks at it.
 * @returns [batch, heads, time, headDim]
 */
export function causalAttention(inputs: CausalAttentionInputs): Value {
  const { query, key, value, mask, recomputeProbabilities: recompute = false } = inputs;
  const graph = query.graph;
  const [batch, heads, time, headDim] = query.shape as Shape & readonly [string, number, string, number];
  const kvHeads = fixedDimension(key.shape, 1);
  const alpha = 1 / Math.sqrt(headDim);
  const groupTime = `${time}*${heads / kvHeads}`;
  const grouped: Shape = [batch, kvHeads, groupTime, headDim];
  const scoresByGroup: Shape = [batch, kvHeads, groupTime, time];

  const rows = () => reshape(query, grouped);
  let probabilities: Value | undefined;
  let context: Value | undefined;
  const [y] = graph.differentiable(
    [query, key, value],
    () => {
      const attend = () => {
        const scores = reshape(matmul(rows(), key, { transposeB: true, alpha }), [batch, heads, time, time]);
        const softmax = graph.node("Softmax", [add(scores, mask)], [{ shape: scores.shape }], {
          attributes: { axis: -1n },
        });
        return reshape(softmax[0]!, scoresByGroup);
      };
      probabilities = recompute ? graph.recomputed(attend) : attend();
      context = matmul(probabilities, value);
      return [reshape(context, query.shape)];
    },
    ([gradient]) => {
      if (!gradient) return [];
      const contextGradient = reshape(gradient, grouped);
      // Softmax backward needs Σ_j dP_j P_j, which equals Σ dO ⊙ O: a sum over headDim instead of time (Dao et al. 2022).
      const delta = reduceSum(multiply(contextGradient, context!), [3]);
      const scoreGradient = multiply(
        probabilities!,
        subtract(matmul(contextGradient, value, { transposeB: true }), delta),
      );
      return [
        (previous) => addedTo(previous, reshape(matmul(scoreGradient, key, { alpha }), query.shape)),
        (previous) => addedTo(previous, transposedProduct(scoreGradient, rows(), alpha)),
        (previous) => addedTo(previous, transposedProduct(probabilities!, contextGradient, 1)),
      ];
    },
  );
  return y!;
}

/**
 * Aᵀ B · alpha over the last two axes, as (Bᵀ A)ᵀ with explicit transposes of the narrow B and result: ONNX Runtime's
 * products lose half their speed on a transposed left operand, and A (time × time) is the large one.
 */
function transposedProduct(a: Value, b: Value, alpha: number): Value {
  const swapped = [0, 1, 3, 2];
  return transpose(matmul(transpose(b, swapped), a, { alpha }), swapped);
}
