import { addedTo } from "../differentiate.js";
import type { Value } from "../graph.js";
import { type Dimension, fixedDimension, formatShape, type Shape } from "../shape.js";
import { add } from "./elementwise.js";
import { transpose } from "./shape.js";

export interface MatMulOptions {
  /** Read the last two axes of a (of b) the other way round. */
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  /** Factor on the product. */
  readonly alpha?: number;
}

/**
 * y = x Wᵀ + b for rows x [n, in], weight [out, in] (the layout of Hugging Face), bias [out].
 * Its weight gradient accumulates inside the GEMM: with the accumulator's memory bound as output nothing is copied.
 */
export function linear(x: Value, weight: Value, bias?: Value): Value {
  if (x.shape.length !== 2 || weight.shape.length !== 2 || x.shape[1] !== weight.shape[1])
    throw new Error(`linear: x ${formatShape(x.shape)} and weight ${formatShape(weight.shape)} do not fit.`);
  const [y] = x.graph.differentiable(
    bias ? [x, weight, bias] : [x, weight],
    () => [gemm(x, weight, { transposeB: true, c: bias })],
    ([gradient]) =>
      gradient
        ? [
            (previous) => gemm(gradient, weight, { c: previous }),
            // ONNX Runtime's GEMM loses a quarter of its speed on a transposed left operand; a transpose is cheaper.
            (previous) => gemm(transpose(gradient, [1, 0]), x, { c: previous }),
            (previous) => sumRows(gradient, previous),
          ]
        : [],
  );
  return y!;
}

export interface LowRankFactors {
  /** [rank, in]. */
  readonly a: Value;
  /** [out, rank]. */
  readonly b: Value;
  readonly scale: number;
}

/**
 * `linear` with a low-rank addition to its weight: y = x Wᵀ + b + scale · (x Aᵀ) Bᵀ (LoRA, Hu et al. 2021). Every sum
 * happens inside a GEMM, and what is transposed has `rank` columns.
 */
export function lowRankLinear(x: Value, weight: Value, { a, b, scale }: LowRankFactors, bias?: Value): Value {
  let projected: Value | undefined;
  const [y] = x.graph.differentiable(
    [x, weight, a, b, ...(bias ? [bias] : [])],
    () => {
      projected = gemm(x, a, { transposeB: true });
      return [gemm(projected, b, { transposeB: true, alpha: scale, c: linear(x, weight, bias) })];
    },
    ([gradient]) => {
      if (!gradient) return [];
      let shared: Value | undefined;
      const projectedGradient = () => {
        shared ??= gemm(gradient, b, { alpha: scale });
        return shared;
      };
      return [
        (previous) => gemm(projectedGradient(), a, { c: gemm(gradient, weight, { c: previous }) }),
        (previous) => gemm(transpose(gradient, [1, 0]), x, { c: previous }),
        (previous) => gemm(transpose(projectedGradient(), [1, 0]), x, { c: previous }),
        (previous) => {
          const product = gemm(transpose(projected!, [1, 0]), gradient, { alpha: scale });
          return addedTo(previous, transpose(product, [1, 0]));
        },
        (previous) => sumRows(gradient, previous),
      ];
    },
  );
  return y!;
}

/** Batched product over the last two axes with numpy broadcasting of the others. */
export function matmul(a: Value, b: Value, options: MatMulOptions = {}): Value {
  const [y] = a.graph.differentiable(
    [a, b],
    () => [batchedProduct(a, b, options)],
    ([gradient]) => {
      if (!gradient) return [];
      const { transposeA = false, transposeB = false, alpha } = options;
      // d(op(A) op(B)): each case is a product that yields the gradient in the layout of the operand itself.
      const forA = () =>
        transposeA
          ? batchedProduct(b, gradient, { transposeA: transposeB, transposeB: true, alpha })
          : batchedProduct(gradient, b, { transposeB: !transposeB, alpha });
      const forB = () =>
        transposeB
          ? batchedProduct(gradient, a, { transposeA: true, transposeB: transposeA, alpha })
          : batchedProduct(a, gradient, { transposeA: !transposeA, alpha });
      return [(previous) => addedTo(previous, forA()), (previous) => addedTo(previous, forB())];
    },
  );
  return y!;
}

function batchedProduct(a: Value, b: Value, { transposeA, transposeB, alpha = 1 }: MatMulOptions): Value {
  const rank = a.shape.length;
  const batch = a.shape.slice(0, -2);
  if (rank !== b.shape.length || batch.some((dimension, axis) => dimension !== b.shape[axis]))
    throw new Error(`matmul: batch axes of ${formatShape(a.shape)} and ${formatShape(b.shape)} differ.`);
  const rows = a.shape[transposeA ? rank - 1 : rank - 2]!;
  const columns = b.shape[transposeB ? rank - 2 : rank - 1]!;
  const inner = [a.shape[transposeA ? rank - 2 : rank - 1], b.shape[transposeB ? rank - 1 : rank - 2]];
  if (inner[0] !== inner[1])
    throw new Error(
      `matmul: inner sizes ${inner[0]} and ${inner[1]} of ${formatShape(a.shape)}, ${formatShape(b.shape)}.`,
    );
  const shape: Shape = [...batch, rows, columns];
  return a.graph.node("FusedMatMul", [a, b], [{ shape }], {
    domain: "com.microsoft",
    attributes: { transA: transposeA ? 1n : 0n, transB: transposeB ? 1n : 0n, alpha },
  })[0]!;
}

export interface GemmOptions extends MatMulOptions {
  /** Added to the product; broadcasts. If the output is bound to its memory the sum happens in place. */
  readonly c?: Value | undefined;
}

/** op(A) op(B) · alpha + C for matrices. Not recorded: the building block of VJPs. */
export function gemm(a: Value, b: Value, { transposeA, transposeB, alpha = 1, c }: GemmOptions = {}): Value {
  const shape: readonly [Dimension, Dimension] = [a.shape[transposeA ? 1 : 0]!, b.shape[transposeB ? 0 : 1]!];
  return a.graph.node("Gemm", [a, b, c], [{ shape }], {
    attributes: { transA: transposeA ? 1n : 0n, transB: transposeB ? 1n : 0n, alpha },
  })[0]!;
}

/** Σ over rows of x [n, columns] as [columns], added to `previous`. Not recorded. */
export function sumRows(x: Value, previous: Value | undefined): Value {
  const columns = fixedDimension(x.shape, 1);
  const [sum] = x.graph.node("ReduceSum", [x, x.graph.integers([0])], [{ shape: [columns] }], {
    attributes: { keepdims: 0n },
  });
  return previous ? add(previous, sum!) : sum!;
}
