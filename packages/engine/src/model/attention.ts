import {
  type AttentionBlocks,
  causalAttention,
  collectRows,
  type RotaryTables,
  reshape,
  reshapeBy,
  rotaryEmbedding,
  type SpreadSources,
  spreadRows,
  transpose,
  type Value,
} from "../graph/index.js";
import type { ModelConfig } from "../weights/index.js";
import type { AttentionStrategy } from "./decoder.js";

interface AttentionInputs {
  readonly rotary: RotaryTables;
  /** 0 on and below the diagonal, very negative above; see `causalAttention`. */
  readonly mask: Value;
  /** See `causalAttention`. */
  readonly blocks?: AttentionBlocks | undefined;
}

export interface BatchAttentionInputs extends AttentionInputs {
  /** int64 [3]: batch, time, −1. */
  readonly batchTime: Value;
}

/** Causal attention within each row of a right-padded batch. */
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

/** Where the heads of the rows of hidden states go in attention's slots [batch, heads, time], and back. int32. */
export interface SlotInputs {
  /** [batch, headCount, time]: row × headCount + head of the slot's query. Slots that nobody asks about: of row 0. */
  readonly query: Value;
  /** [tokens × headCount]: flat slot where the query of a row's head asks. */
  readonly context: Value;
  /** [batch, keyValueHeadCount, time]: row × keyValueHeadCount + head of the slot's key. */
  readonly key: Value;
  /** Flat slots of the key of every row's head. */
  readonly keySources: SpreadSources;
}

export interface SharedAttentionInputs extends AttentionInputs {
  readonly slots: SlotInputs;
}

/**
 * Causal attention of sequences that share rows: a common prompt is computed once, and everything but attention works on
 * rows without padding. `rotary.positions` is [tokens, 1]: each row has its own. Row 0 is nobody's token: it stands for padding.
 */
export function sharedAttention(config: ModelConfig, inputs: SharedAttentionInputs): AttentionStrategy {
  const { headCount, keyValueHeadCount, headDimension } = config;
  const { slots, rotary, mask, blocks } = inputs;
  return ({ query, key, value }) => {
    const byHead = (rows: Value, count: number) => reshape(rows, [`tokens*${count}`, headDimension]);
    const rotated = (rows: Value, count: number) =>
      byHead(rotaryEmbedding(reshape(rows, ["tokens", 1, count * headDimension]), rotary), count);
    const context = causalAttention({
      query: spreadRows(rotated(query, headCount), slots.query, slots.context),
      key: spreadRows(rotated(key, keyValueHeadCount), slots.key, slots.keySources),
      value: spreadRows(byHead(value, keyValueHeadCount), slots.key, slots.keySources),
      mask,
      blocks,
    });
    const rows = context.graph.recomputed(() => collectRows(context, slots.context, slots.query));
    return reshape(rows, query.shape);
  };
}
