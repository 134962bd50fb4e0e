import { BatchBuffers, type GenerationModel } from "./generation-model.js";
import { KeyValueCache } from "./key-value-cache.js";
import type { PrefilledPrompt, WaitingPrompt } from "./prompt-queue.js";
import { inverseTemperature } from "./sequence.js";

/** Padded tokens of a prefill run: enough for efficient products, few enough that a run stays short. */
export const MAX_PADDED_TOKENS = 1024;

/** Attention works through the rows of a prompt in blocks of twice the size of a head or, for large heads, somewhat less. */
const MIN_BLOCK_ROWS = 16;

/**
 * Rows that so many tokens take at least: one more. A last block of one row would go through the kernel for single rows
 * (see MIN_ROWS) or not, depending on the padding. Where all rows are in the first block none is alone.
 */
const paddedLength = (tokens: number) => (tokens > 1 && tokens <= MIN_BLOCK_ROWS ? tokens : tokens + 1);

/** Prompts that run together; those that start from a shared prefix run alone. */
export function prefillJobs(prompts: readonly WaitingPrompt[]): WaitingPrompt[][] {
  const rest = prompts.filter(({ prefix }) => prefix !== undefined);
  return [...prefillBatches(prompts.filter(({ prefix }) => prefix === undefined)), ...rest.map((prompt) => [prompt])];
}

/** Runs the prompts of a job through the model; see `prefill`. */
export async function runPrefill(
  model: GenerationModel,
  job: readonly WaitingPrompt[],
  signal: AbortSignal,
  target?: CacheTarget,
): Promise<PrefilledPrompt[]> {
  const [first] = job;
  return first?.prefix ? [await prefillRest(model, first, signal, target)] : prefill(model, job, signal, target);
}

/** Groups prompts so that each run has few tokens and little padding. */
export function prefillBatches(prompts: readonly WaitingPrompt[]): WaitingPrompt[][] {
  const rows = ({ prepared }: WaitingPrompt) => paddedLength(prepared.request.prompt.length);
  const sorted = [...prompts].sort((a, b) => rows(b) - rows(a));
  const batches: WaitingPrompt[][] = [];
  let batch: WaitingPrompt[] = [];
  for (const waiting of sorted) {
    if (batch.length > 0 && (batch.length + 1) * rows(batch[0]!) > MAX_PADDED_TOKENS) {
      batches.push(batch);
      batch = [];
    }
    batch.push(waiting);
  }
  if (batch.length > 0) batches.push(batch);
  return batches;
}

/** Slots of a cache, from `firstSlot` on. */
export interface CacheTarget {
  readonly cache: KeyValueCache;
  readonly firstSlot: number;
}

/**
 * Runs prompts, the longest first, through the model.
 * @param target where their keys and values go; without it, a cache of their own.
 */
async function prefill(
  model: GenerationModel,
  batch: readonly WaitingPrompt[],
  signal: AbortSignal,
  target?: CacheTarget,
): Promise<PrefilledPrompt[]> {
  const rows = batch.map(({ prepared }) => ({
    tokens: prepared.request.prompt,
    inverseTemperature: inverseTemperature(prepared),
  }));
  return extend(model, rows, 0, signal, target);
}

/** Runs the rest of a prompt, of which a prefix has run. */
async function prefillRest(
  model: GenerationModel,
  { prepared, prefix }: WaitingPrompt,
  signal: AbortSignal,
  target?: CacheTarget,
): Promise<PrefilledPrompt> {
  const { prompt } = prepared.request;
  const start = prefix!.tokens.length;
  prefix!.cache ??= prefillPrefix(model, prefix!.tokens, signal);
  const source = await prefix!.cache;
  const { cache, firstSlot } = target ?? { cache: new KeyValueCache(model.config, 1, prompt.length + 1), firstSlot: 0 };
  cache.copyFrom(source, 0, firstSlot, start);
  // Nobody else starts from it: the memory can go.
  prefix!.waiting--;
  if (prefix!.waiting === 0) prefix!.cache = undefined;
  const row = { tokens: prompt.slice(start), inverseTemperature: inverseTemperature(prepared) };
  const [result] = await extend(model, [row], start, signal, { cache, firstSlot });
  return result!;
}

async function prefillPrefix(
  model: GenerationModel,
  tokens: readonly number[],
  signal: AbortSignal,
): Promise<KeyValueCache> {
  const [{ cache }] = (await extend(model, [{ tokens, inverseTemperature: 1 }], 0, signal)) as [PrefilledPrompt];
  return cache;
}

/** Continues slots that hold `past` tokens by the tokens of each row, the longest first. With a past, by one row. */
async function extend(
  model: GenerationModel,
  rows: readonly { readonly tokens: readonly number[]; readonly inverseTemperature: number }[],
  past: number,
  signal: AbortSignal,
  target?: CacheTarget,
): Promise<PrefilledPrompt[]> {
  const { config } = model;
  const longest = rows[0]!.tokens.length;
  const time = past === 0 ? paddedLength(longest) : longest + 1;
  const buffers = new BatchBuffers(config, rows.length, time);
  const { cache, firstSlot } = target ?? { cache: new KeyValueCache(config, rows.length, time), firstSlot: 0 };
  buffers.longest[0] = past + time;
  for (const [row, { tokens, inverseTemperature }] of rows.entries()) {
    buffers.ids.set(tokens, row * time);
    for (let index = 0; buffers.positions !== undefined && index < time; index++) {
      buffers.positions[row * time + index] = BigInt(past + index);
    }
    buffers.lastRows[row] = row * time + tokens.length - 1;
    // Behind a past the row of padding counts: the length is then known from the sizes alone.
    buffers.lastIndices[row] = past === 0 ? tokens.length - 1 : past + tokens.length;
    buffers.inverseTemperatures[row] = inverseTemperature;
  }
  const bound = model.bind(buffers, cache, rows.length, time, firstSlot);
  try {
    await bound.run({ signal });
  } finally {
    bound.close();
  }
  const { logits, probabilities } = buffers;
  return rows.map((_, row) => ({
    cache,
    slot: firstSlot + row,
    logits,
    probabilities,
    offset: row * config.vocabularySize,
  }));
}
