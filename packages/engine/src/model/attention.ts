import {
  type AttentionBlocks,
  causalAttention,
  type RotaryTables,
  reshape,
  reshapeBy,
  rotaryEmbedding,
  transpose,
  type Value,
} from "../graph/index.js";
import type { ModelConfig } from "../weights/index.js";
import type { AttentionStrategy } from "./decoder.js";

export interface BatchAttentionInputs {
  /** int64 [3]: batch, time, −1. */
  readonly batchTime: Value;
  readonly rotary: RotaryTables;
  /** 0 on and below the diagonal, very negative above; see `causalAttention`. */
  readonly mask: Value;
  /** See `causalAttention`. */
  readonly blocks?: AttentionBlocks | undefined;
}

/** Causal attention within each row of a right-padded batch: what training uses. */
export function batchAttention(config: ModelConfig, inputs: BatchAttentionInputs): AttentionStrategy {
  const { headCount, keyValueHeadCount, headDimension } = config;
  return ({ query, key, value }) => {
    const heads = (rows: Value, count: number) => {
      const byTime = reshapeBy(rows, inputs.batchTime, ["batch", "time", count * headDimension]);
      return transpose(reshape(byTime, ["batch", "time", count, headDimension]), [0, 2, 1, 3]);
    };
    const context = causalAttention({
      query: rotaryEmbedding(heads(query, headCount), inputs.rotary),
      key: rotaryEmbedding(heads(key, keyValueHeadCount), inputs.rotary),
      value: heads(value, keyValueHeadCount),
      mask: inputs.mask,
      blocks: inputs.blocks,
    });
    const swapped = context.graph.recomputed(() => transpose(context, [0, 2, 1, 3]));
    const byTime = reshape(swapped, ["batch", "time", headCount * headDimension]);
    return reshape(byTime, query.shape, inputs.batchTime);
  };
}
