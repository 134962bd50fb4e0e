import { addedTo } from "../differentiate.js";
import type { Value } from "../graph.js";
import { fixedDimension, type Shape } from "../shape.js";
import { add, multiply, scale, subtract } from "./elementwise.js";
import { matmul } from "./linear.js";
import { concatenate, END, reduceSum, reshape, slice, transpose } from "./shape.js";

/** Query rows that are worked on together: `count` ≥ 2 blocks of `rows`, of which the last may have fewer (`lastRows`). */
export interface AttentionBlocks {
  readonly rows: number;
  readonly count: number;
  /** As `mask`, for the block before the last: [rows, rows × (count − 1)]. Its ends are the masks of those before. */
  readonly mask: Value;
}

export interface CausalAttentionInputs {
  /** [batch, heads, time, headDim], rotated. */
  readonly query: Value;
  /** [batch, kvHeads, time, headDim], rotated. */
  readonly key: Value;
  /** [batch, kvHeads, time, headDim]. */
  readonly value: Value;
  /**
   * 0 where a row may look at a column, a large negative number elsewhere, for the rows of the last block (without
   * blocks: all rows): [lastRows, time].
   */
  readonly mask: Value;
  /**
   * Absent: all rows at once, and the probabilities are kept for the backward pass. With blocks, each row block only
   * meets the keys up to its end, and the probabilities of one block at a time exist: they are computed again in the
   * backward pass.
   */
  readonly blocks?: AttentionBlocks | undefined;
}

/**
 * Scaled dot-product attention with grouped key-value heads (Ainslie et al. 2023): softmax(Q Kᵀ / √headDim + mask) V.
 * The query heads of one group are stacked as rows, so that keys and values are never repeated.
 * Padding at the end of a row needs no mask of its own: no real token looks at it.
 * @returns [batch, heads, time, headDim]
 */
export function causalAttention(inputs: CausalAttentionInputs): Value {
  const { query, key, value } = inputs;
  const graph = query.graph;
  const blocks = splitRows(inputs);
  let y: Value | undefined;
  let kept: Value | undefined;
  const [result] = graph.differentiable(
    [query, key, value],
    () => {
      const contexts = blocks.map((block) => {
        const probabilities = inputs.blocks ? graph.recomputed(block.attend) : block.attend();
        if (!inputs.blocks) kept = probabilities;
        return reshape(matmul(probabilities, block.values()), block.byHead);
      });
      y = contexts.length === 1 ? contexts[0]! : concatenate(contexts, 2, query.shape);
      return [y];
    },
    ([gradient]) => {
      if (!gradient) return [];
      const sums = blocks.reduceRight<BlockGradients | undefined>((later, block) => {
        // ONNX Runtime orders by dependencies alone. A zero made of the later block's gradients lets it finish, and give
        // back its scores, before this one starts.
        const rows = later ? add(block.rows(), zeroOf(later)) : block.rows();
        const probabilities = kept ?? block.attend(rows);
        const contextGradient = block.part(gradient);
        // Softmax backward needs Σ_j dP_j P_j, which equals Σ dO ⊙ O: a sum over headDim instead of time (Dao et al. 2022).
        const delta = reduceSum(multiply(contextGradient, block.part(y!)), [3]);
        const scoreGradient = multiply(
          probabilities,
          subtract(matmul(contextGradient, block.values(), { transposeB: true }), delta),
        );
        const { alpha } = block;
        return {
          query: [reshape(matmul(scoreGradient, block.keys(), { alpha }), block.byHead), ...(later?.query ?? [])],
          key: addToStart(later?.key, transposedProduct(scoreGradient, rows, alpha)),
          value: addToStart(later?.value, transposedProduct(probabilities, contextGradient, 1)),
        };
      }, undefined)!;
      const queryGradient = () => (sums.query.length === 1 ? sums.query[0]! : concatenate(sums.query, 2, query.shape));
      return [
        (previous) => addedTo(previous, queryGradient()),
        (previous) => addedTo(previous, sums.key),
        (previous) => addedTo(previous, sums.value),
      ];
    },
  );
  return result!;
}

interface BlockGradients {
  /** Of this block and the later ones. */
  readonly query: readonly Value[];
  /** Summed over this block and the later ones. */
  readonly key: Value;
  readonly value: Value;
}

interface RowBlock {
  readonly alpha: number;
  /** [batch, heads, rows, headDim]. */
  readonly byHead: Shape;
  /** The block's rows of a tensor like the query, stacked by group: [batch, kvHeads, rows × group, headDim]. */
  part(x: Value): Value;
  rows(): Value;
  keys(): Value;
  values(): Value;
  /** The probabilities [batch, kvHeads, rows × group, columns]. */
  attend(rows?: Value): Value;
}

function splitRows({ query, key, value, mask, blocks }: CausalAttentionInputs): RowBlock[] {
  const [batch, heads, time, headDim] = query.shape as Shape & readonly [string, number, string, number];
  const kvHeads = fixedDimension(key.shape, 1);
  const group = heads / kvHeads;
  const { rows: blockRows, count } = blocks ?? { rows: 0, count: 1 };
  return Array.from({ length: count }, (_, index): RowBlock => {
    const isLast = index === count - 1;
    const [start, end] = [index * blockRows, isLast ? END : (index + 1) * blockRows];
    const rows = count === 1 ? time : isLast ? "lastRows" : blockRows;
    const columns = isLast ? time : end;
    const byHead: Shape = [batch, heads, rows, headDim];
    const grouped: Shape = [batch, kvHeads, typeof rows === "number" ? rows * group : `${rows}*${group}`, headDim];
    const alpha = 1 / Math.sqrt(headDim);
    const part = (x: Value) => reshape(count === 1 ? x : slice(x, 2, start, end, byHead), grouped);
    const upToEnd = (x: Value) => (isLast ? x : slice(x, 2, 0, end, [batch, kvHeads, columns, headDim]));
    const blockMask = () =>
      isLast ? mask : slice(blocks!.mask, 1, (count - 2 - index) * blockRows, END, [blockRows, columns]);
    return {
      alpha,
      byHead,
      part,
      rows: () => part(query),
      keys: () => upToEnd(key),
      values: () => upToEnd(value),
      attend(stacked = part(query)) {
        const scores = reshape(matmul(stacked, upToEnd(key), { transposeB: true, alpha }), [
          batch,
          heads,
          rows,
          columns,
        ]);
        const [softmax] = query.graph.node("Softmax", [add(scores, blockMask())], [{ shape: scores.shape }], {
          attributes: { axis: -1n },
        });
        return reshape(softmax!, [batch, kvHeads, grouped[2]!, columns]);
      },
    };
  });
}

/** A zero [1, 1, 1, 1] that is known once the gradients are. */
function zeroOf({ query, key, value }: BlockGradients): Value {
  const first = [query[0]!, key, value].map((x) => firstNumber(x));
  return scale(first.reduce(add), 0);
}

function firstNumber(x: Value): Value {
  const bounds = [
    [0, 0, 0, 0],
    [1, 1, 1, 1],
    [0, 1, 2, 3],
  ].map((values) => x.graph.integers(values));
  return x.graph.node("Slice", [x, ...bounds], [{ shape: [1, 1, 1, 1] }])[0]!;
}

/** Adds a term to the first rows (axis 2) of a sum that has more of them. */
function addToStart(sum: Value | undefined, term: Value): Value {
  if (!sum) return term;
  const end = fixedDimension(term.shape, 2);
  const [batch, heads, , columns] = sum.shape as readonly [string, number, string, number];
  const start = add(slice(sum, 2, 0, end, term.shape), term);
  return concatenate([start, slice(sum, 2, end, END, [batch, heads, `after${end}`, columns])], 2, sum.shape);
}

/**
 * Aᵀ B · alpha over the last two axes, as (Bᵀ A)ᵀ with explicit transposes of the narrow B and result: ONNX Runtime's
 * products lose half their speed on a transposed left operand, and A (time × time) is the large one.
 */
function transposedProduct(a: Value, b: Value, alpha: number): Value {
  const swapped = [0, 1, 3, 2];
  return transpose(matmul(transpose(b, swapped), a, { alpha }), swapped);
}
