import {
  causalAttention,
  type RotaryTables,
  reshape,
  reshapeBy,
  rotaryEmbedding,
  transpose,
  type Value,
} from "../graph/index.js";
import type { AttentionStrategy } from "./decoder.js";
import type { DecoderShape } from "./decoder-shape.js";

export interface BatchAttentionInputs {
  /** int64 [3]: batch, time, −1. */
  readonly batchTime: Value;
  readonly rotary: RotaryTables;
  /** [time, time]: 0 on and below the diagonal, very negative above. */
  readonly mask: Value;
}

/** Causal attention within each row of a right-padded batch: what training uses. */
export function batchAttention(shape: DecoderShape, inputs: BatchAttentionInputs): AttentionStrategy {
  const { headCount, kvHeadCount, headDim } = shape;
  return ({ query, key, value }) => {
    const heads = (rows: Value, count: number) => {
      const byTime = reshapeBy(rows, inputs.batchTime, ["batch", "time", count * headDim]);
      return transpose(reshape(byTime, ["batch", "time", count, headDim]), [0, 2, 1, 3]);
    };
    const context = causalAttention({
      query: rotaryEmbedding(heads(query, headCount), inputs.rotary),
      key: rotaryEmbedding(heads(key, kvHeadCount), inputs.rotary),
      value: heads(value, kvHeadCount),
      mask: inputs.mask,
    });
    return reshape(transpose(context, [0, 2, 1, 3]), query.shape);
  };
}
