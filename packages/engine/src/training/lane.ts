import { embeddingName } from "../model/index.js";
import type { RunOptions } from "../runtime/types.js";
import type { TokenLogprobs, TokenLoss, TokenLossResult, TokenSequence } from "../types.js";
import type { ModelConfig } from "../weights/index.js";
import type { GradientArena } from "./gradients.js";
import { Head, type HeadPlan, type HeadRows } from "./head.js";
import type { MicroBatch } from "./micro-batches.js";
import { Trunk, type TrunkBatch, type TrunkPlan } from "./trunk.js";

export interface EvaluatedSequence {
  readonly current: TokenLogprobs;
  readonly loss: number;
}

/** One pass over some sequences: what is asked for and where the answers go. */
export interface Pass<S extends TokenSequence> {
  readonly sequences: readonly S[];
  /** Absent: log-probabilities only, no gradient. */
  readonly tokenLoss: TokenLoss<S> | undefined;
  readonly temperature: number;
  /** One entry a sequence; lanes fill in theirs. */
  readonly results: EvaluatedSequence[];
}

/**
 * A worker with activations and accumulators of its own. The token loss is any function, so a micro-batch runs in four
 * phases: layers, head (log-probabilities, entropies), the loss in JavaScript, then head and layers backwards.
 */
export class Lane {
  private readonly trunk: Trunk;
  private readonly head: Head;

  constructor(
    private readonly config: ModelConfig,
    trunkPlan: TrunkPlan,
    headPlan: HeadPlan,
    readonly gradients: GradientArena,
  ) {
    this.trunk = new Trunk(trunkPlan, gradients);
    this.head = new Head(headPlan, gradients);
  }

  /** Runs one micro-batch of the pass; its gradients are added to the lane's arena. */
  async run<S extends TokenSequence>(pass: Pass<S>, { members, time }: MicroBatch, options: RunOptions): Promise<void> {
    const { temperature } = pass;
    const batch: TrunkBatch = { batch: members.length, time };
    const sequences = members.map((index) => pass.sequences[index]!);
    const training = pass.tokenLoss !== undefined;
    this.embed(sequences, this.trunk.input(batch).data, time);
    const hidden = await this.trunk.forward(batch, training, options);

    const spans = lossSpans(sequences, time);
    const rows = this.head.rows(spans.reduce((sum, { count }) => sum + count, 0));
    gatherLossRows(sequences, spans, hidden.data, rows, this.config.hiddenSize);
    await this.head.forward(rows, temperature, training, options);
    const withEntropy = evaluateLoss(pass, members, spans, rows);
    if (!training) return;

    await this.head.backward(rows, temperature, withEntropy, options);
    const outputGradient = this.trunk.outputGradient(batch).data;
    outputGradient.fill(0);
    scatterLossRows(spans, rows, outputGradient, this.config.hiddenSize);
    const inputGradient = await this.trunk.backward(batch, options);
    this.addEmbeddingGradients(sequences, inputGradient.data, time);
  }

  close(): void {
    this.trunk.close();
    this.head.close();
  }

  /** Writes each token's embedding to its row; padding is zero. */
  private embed(sequences: readonly TokenSequence[], x: Float32Array, time: number): void {
    const { hiddenSize } = this.config;
    const table = this.gradients.weight(embeddingName).data;
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
    const { data: gradient } = this.gradients.gradient(embeddingName);
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
export function inputLength({ prompt, response }: TokenSequence): number {
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
    hidden.set(rows.hiddenGradients.subarray(offset * hiddenSize, (offset + count) * hiddenSize), start * hiddenSize);
    offset += count;
  }
}

/** Stores every sequence's log-probabilities and loss, and the loss's gradients in the rows. True if entropies have one. */
function evaluateLoss<S extends TokenSequence>(
  { sequences, tokenLoss, results }: Pass<S>,
  members: readonly number[],
  spans: readonly LossSpan[],
  rows: HeadRows,
): boolean {
  let withEntropy = false;
  let offset = 0;
  for (const [row, { count }] of spans.entries()) {
    const end = offset + count;
    const index = members[row]!;
    const current = { logprobs: rows.logprobs.slice(offset, end), entropies: rows.entropies.slice(offset, end) };
    const result = tokenLoss && checkedLoss(tokenLoss, sequences[index]!, current, index);
    results[index] = { current, loss: result?.loss ?? 0 };
    if (result) {
      rows.logprobGradients.set(result.logprobGradient, offset);
      if (result.entropyGradient) rows.entropyGradients.set(result.entropyGradient, offset);
      else rows.entropyGradients.fill(0, offset, end);
      withEntropy ||= result.entropyGradient !== undefined;
    }
    offset = end;
  }
  return withEntropy;
}

/** Calls the token loss and refuses arrays of another length than the response. */
export function checkedLoss<S extends TokenSequence>(
  tokenLoss: TokenLoss<S>,
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
