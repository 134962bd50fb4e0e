import { BatchBuffers, type GenerationModel } from "./generation-model.js";
import { KeyValueCache } from "./key-value-cache.js";
import type { PrefilledPrompt, WaitingPrompt } from "./prompt-queue.js";
import { inverseTemperature } from "./sequence.js";

/** Padded tokens of a prefill run: enough for efficient products, few enough that a run stays short. */
const MAX_PADDED_TOKENS = 1024;

/**
 * A prompt of one token is padded to two: with a single row ONNX Runtime's products take another kernel, and the result
 * would depend (in its last bits) on what else is in the batch.
 */
const MIN_TIME = 2;

/** Groups prompts so that each run has few tokens and little padding. */
export function prefillBatches(prompts: readonly WaitingPrompt[]): WaitingPrompt[][] {
  const lengthOf = (waiting: WaitingPrompt) => Math.max(MIN_TIME, waiting.prepared.request.prompt.length);
  const sorted = [...prompts].sort((a, b) => lengthOf(b) - lengthOf(a));
  const batches: WaitingPrompt[][] = [];
  let batch: WaitingPrompt[] = [];
  for (const waiting of sorted) {
    if (batch.length > 0 && (batch.length + 1) * lengthOf(batch[0]!) > MAX_PADDED_TOKENS) {
      batches.push(batch);
      batch = [];
    }
    batch.push(waiting);
  }
  if (batch.length > 0) batches.push(batch);
  return batches;
}

/** Runs prompts, the longest first, through the model. */
export async function prefill(
  model: GenerationModel,
  batch: readonly WaitingPrompt[],
  signal: AbortSignal,
): Promise<PrefilledPrompt[]> {
  const { config } = model;
  const time = Math.max(MIN_TIME, batch[0]!.prepared.request.prompt.length);
  const buffers = new BatchBuffers(config, batch.length, time);
  const cache = new KeyValueCache(config, batch.length, time);
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
  const bound = model.bind(buffers, cache, batch.length, time);
  try {
    await bound.run({ signal });
  } finally {
    bound.close();
  }
  const { logits, probabilities } = buffers;
  return batch.map((_, slot) => ({ cache, slot, logits, probabilities, offset: slot * config.vocabularySize }));
}
