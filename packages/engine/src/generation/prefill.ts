import { BatchBuffers, type GenerationModel } from "./generation-model.js";
import { KeyValueCache } from "./key-value-cache.js";
import type { PrefilledPrompt, WaitingPrompt } from "./prompt-queue.js";
import { inverseTemperature } from "./sequence.js";

/** Padded tokens of a prefill run: enough for efficient products, few enough that a run stays short. */
export const MAX_PADDED_TOKENS = 1024;

/**
 * Rows a prompt takes at least: one more than it has tokens. Attention works through the rows in blocks, and a last
 * block of one row would go through the kernel for single rows (see MIN_ROWS) or not, depending on the padding.
 */
const paddedLength = (waiting: WaitingPrompt) => waiting.prepared.request.prompt.length + 1;

/** Groups prompts so that each run has few tokens and little padding. */
export function prefillBatches(prompts: readonly WaitingPrompt[]): WaitingPrompt[][] {
  const sorted = [...prompts].sort((a, b) => paddedLength(b) - paddedLength(a));
  const batches: WaitingPrompt[][] = [];
  let batch: WaitingPrompt[] = [];
  for (const waiting of sorted) {
    if (batch.length > 0 && (batch.length + 1) * paddedLength(batch[0]!) > MAX_PADDED_TOKENS) {
      batches.push(batch);
      batch = [];
    }
    batch.push(waiting);
  }
  if (batch.length > 0) batches.push(batch);
  return batches;
}

/**
 * Runs prompts, the longest first, through the model.
 * @param target where their keys and values go: slots from `firstSlot` on; without it, a cache of their own.
 */
export async function prefill(
  model: GenerationModel,
  batch: readonly WaitingPrompt[],
  signal: AbortSignal,
  target?: { readonly cache: KeyValueCache; readonly firstSlot: number },
): Promise<PrefilledPrompt[]> {
  const { config } = model;
  const time = paddedLength(batch[0]!);
  const buffers = new BatchBuffers(config, batch.length, time);
  const { cache, firstSlot } = target ?? { cache: new KeyValueCache(config, batch.length, time), firstSlot: 0 };
  buffers.longest[0] = time;
  for (const [row, { prepared }] of batch.entries()) {
    const { prompt } = prepared.request;
    buffers.ids.set(prompt, row * time);
    for (let index = 0; buffers.positions !== undefined && index < time; index++) {
      buffers.positions[row * time + index] = BigInt(index);
    }
    buffers.lastRows[row] = row * time + prompt.length - 1;
    buffers.lastIndices[row] = prompt.length - 1;
    buffers.inverseTemperatures[row] = inverseTemperature(prepared);
  }
  const bound = model.bind(buffers, cache, batch.length, time, firstSlot);
  try {
    await bound.run({ signal });
  } finally {
    bound.close();
  }
  const { logits, probabilities } = buffers;
  return batch.map((_, row) => ({
    cache,
    slot: firstSlot + row,
    logits,
    probabilities,
    offset: row * config.vocabularySize,
  }));
}
