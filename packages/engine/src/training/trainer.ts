import { embeddingName } from "../model/index.js";
import type { RunOptions } from "../runtime/types.js";
import type {
  ForwardBackwardOptions,
  ForwardBackwardResult,
  TokenLogprobs,
  TokenLoss,
  TokenLossResult,
  TokenSequence,
} from "../types.js";
import type { ModelConfig, ParameterStore } from "../weights/index.js";
import { Head, type HeadRows } from "./head.js";
import { type MicroBatch, planMicroBatches } from "./micro-batches.js";
import { Trunk, type TrunkBatch } from "./trunk.js";

/** Padded tokens in a micro-batch: small enough that a layer's activations stay near the caches. */
export const DEFAULT_MICRO_BATCH_TOKENS = 1024;

export interface EvaluatedSequences {
  readonly results: readonly { readonly current: TokenLogprobs; readonly loss: number }[];
  readonly tokens: number;
  readonly paddedTokens: number;
}

type LossOf<S> = (sequence: S, current: TokenLogprobs) => TokenLossResult;

/**
 * Forward and backward over micro-batches. The token loss is any function, so a micro-batch runs in four phases:
 * layers, head (log-probabilities, entropies), the loss in JavaScript, then head and layers backwards.
 */
export class Trainer {
  private readonly trunk: Trunk;
  private readonly head: Head;

  constructor(
    private readonly config: ModelConfig,
    private readonly parameters: ParameterStore,
    options: { readonly threads?: number | undefined; readonly headChunkElements?: number } = {},
  ) {
    this.trunk = new Trunk(config, parameters, options.threads);
    this.head = new Head(config, parameters, options.threads, options.headChunkElements);
  }

  async logprobs(sequences: readonly TokenSequence[], options: ForwardBackwardOptions): Promise<TokenLogprobs[]> {
    const { results } = await this.run(sequences, undefined, options);
    return results.map(({ current }) => current);
  }

  /** Adds the gradients of Σ tokenLoss to the store's accumulators. If it fails, what they hold is undefined. */
  async forwardBackward<S extends TokenSequence>(
    sequences: readonly S[],
    tokenLoss: TokenLoss<S>,
    options: ForwardBackwardOptions,
  ): Promise<ForwardBackwardResult<S>> {
    const { results, tokens, paddedTokens } = await this.run(sequences, tokenLoss, options);
    return {
      loss: results.reduce((sum, { loss }) => sum + loss, 0),
      sequences: sequences.map((sequence, index) => ({ sequence, ...results[index]! })),
      tokens,
      paddedTokens,
    };
  }

  close(): void {
    this.trunk.close();
    this.head.close();
  }

  private async run<S extends TokenSequence>(
    sequences: readonly S[],
    tokenLoss: LossOf<S> | undefined,
    options: ForwardBackwardOptions,
  ): Promise<EvaluatedSequences> {
    const { temperature = 1, microBatchTokens = DEFAULT_MICRO_BATCH_TOKENS, signal } = options;
    const results: { current: TokenLogprobs; loss: number }[] = new Array(sequences.length);
    const active = sequences.flatMap((sequence, index) => {
      if (sequence.response.length > 0) return [index];
      const current = { logprobs: new Float32Array(0), entropies: new Float32Array(0) };
      results[index] = { current, loss: tokenLoss ? checkedLoss(tokenLoss, sequence, current, index).loss : 0 };
      return [];
    });
    const lengths = active.map((index) => inputLength(sequences[index]!));
    let tokens = 0;
    let paddedTokens = 0;
    for (const batch of planMicroBatches(lengths, microBatchTokens)) {
      const members = batch.members.map((member) => active[member]!);
      await this.runMicroBatch(
        sequences,
        { ...batch, members },
        tokenLoss,
        temperature,
        signal ? { signal } : {},
        results,
      );
      for (const member of batch.members) tokens += lengths[member]!;
      paddedTokens += members.length * batch.time;
    }
    return { results, tokens, paddedTokens };
  }

  private async runMicroBatch<S extends TokenSequence>(
    sequences: readonly S[],
    { members, time }: MicroBatch,
    tokenLoss: LossOf<S> | undefined,
    temperature: number,
    run: RunOptions,
    results: { current: TokenLogprobs; loss: number }[],
  ): Promise<void> {
    const batch: TrunkBatch = { batch: members.length, time };
    const rows = members.map((index) => sequences[index]!);
    const training = tokenLoss !== undefined;
    this.embed(rows, this.trunk.input(batch).data, time);
    const hidden = await this.trunk.forward(batch, training, run);

    const spans = lossSpans(rows, time);
    const headRows = this.head.rows(spans.reduce((sum, { count }) => sum + count, 0));
    gatherLossRows(rows, spans, hidden.data, headRows, this.config.hiddenSize);
    await this.head.forward(headRows, temperature, training, run);

    let withEntropy = false;
    let offset = 0;
    for (const [row, { count }] of spans.entries()) {
      const current = {
        logprobs: headRows.logprobs.slice(offset, offset + count),
        entropies: headRows.entropies.slice(offset, offset + count),
      };
      const index = members[row]!;
      results[index] = { current, loss: 0 };
      if (tokenLoss) {
        const result = checkedLoss(tokenLoss, rows[row]!, current, index);
        results[index].loss = result.loss;
        headRows.logprobGradients.set(result.logprobGradient, offset);
        if (result.entropyGradient) {
          withEntropy = true;
          headRows.entropyGradients.set(result.entropyGradient, offset);
        } else headRows.entropyGradients.fill(0, offset, offset + count);
      }
      offset += count;
    }
    if (!training) return;

    await this.head.backward(headRows, temperature, withEntropy, run);
    const outputGradient = this.trunk.outputGradient(batch).data;
    outputGradient.fill(0);
    scatterLossRows(spans, headRows, outputGradient, this.config.hiddenSize);
    const inputGradient = await this.trunk.backward(batch, run);
    this.addEmbeddingGradients(rows, inputGradient.data, time);
  }

  /** Writes each token's embedding to its row; padding is zero. */
  private embed(sequences: readonly TokenSequence[], x: Float32Array, time: number): void {
    const { hiddenSize } = this.config;
    const table = this.parameters.get(embeddingName).data;
    for (const [row, sequence] of sequences.entries()) {
      const start = row * time;
      const length = inputLength(sequence);
      for (let position = 0; position < length; position++) {
        const token = inputToken(sequence, position);
        x.set(table.subarray(token * hiddenSize, (token + 1) * hiddenSize), (start + position) * hiddenSize);
      }
      x.fill(0, (start + length) * hiddenSize, (start + time) * hiddenSize);
    }
  }

  private addEmbeddingGradients(sequences: readonly TokenSequence[], dx: Float32Array, time: number): void {
    const { hiddenSize } = this.config;
    const { gradient } = this.parameters.get(embeddingName);
    for (const [row, sequence] of sequences.entries()) {
      const length = inputLength(sequence);
      for (let position = 0; position < length; position++) {
        const to = inputToken(sequence, position) * hiddenSize;
        const from = (row * time + position) * hiddenSize;
        for (let i = 0; i < hiddenSize; i++) gradient[to + i]! += dx[from + i]!;
      }
    }
  }
}

/** The last response token is predicted but never read. */
function inputLength({ prompt, response }: TokenSequence): number {
  return prompt.length + response.length - 1;
}

function inputToken({ prompt, response }: TokenSequence, position: number): number {
  return position < prompt.length ? prompt[position]! : response[position - prompt.length]!;
}

interface LossSpan {
  /** First row of the hidden states whose prediction carries loss, and how many follow. */
  readonly start: number;
  readonly count: number;
}

function lossSpans(sequences: readonly TokenSequence[], time: number): LossSpan[] {
  return sequences.map(({ prompt, response }, row) => ({
    start: row * time + prompt.length - 1,
    count: response.length,
  }));
}

function gatherLossRows(
  sequences: readonly TokenSequence[],
  spans: readonly LossSpan[],
  hidden: Float32Array,
  rows: HeadRows,
  hiddenSize: number,
): void {
  let offset = 0;
  for (const [row, { start, count }] of spans.entries()) {
    rows.hidden.set(hidden.subarray(start * hiddenSize, (start + count) * hiddenSize), offset * hiddenSize);
    const { response } = sequences[row]!;
    for (let i = 0; i < count; i++) rows.targets[offset + i] = BigInt(response[i]!);
    offset += count;
  }
}

function scatterLossRows(spans: readonly LossSpan[], rows: HeadRows, hidden: Float32Array, hiddenSize: number): void {
  let offset = 0;
  for (const { start, count } of spans) {
    hidden.set(rows.hidden.subarray(offset * hiddenSize, (offset + count) * hiddenSize), start * hiddenSize);
    offset += count;
  }
}

function checkedLoss<S extends TokenSequence>(
  tokenLoss: LossOf<S>,
  sequence: S,
  current: TokenLogprobs,
  index: number,
): TokenLossResult {
  const result = tokenLoss(sequence, current);
  const expected = sequence.response.length;
  for (const key of ["logprobGradient", "entropyGradient"] as const) {
    const actual = result[key]?.length ?? (key === "entropyGradient" ? expected : 0);
    if (actual !== expected)
      throw new Error(
        `The token loss of sequence ${index} returned ${actual} values in ${key}; its response has ${expected} tokens.`,
      );
  }
  return result;
}
