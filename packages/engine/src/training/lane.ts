import { embeddingName } from "../model/index.js";
import type { RunOptions } from "../runtime/types.js";
import type { TokenLogprobs, TokenLossResult } from "../types.js";
import type { ModelConfig } from "../weights/index.js";
import type { GradientArena } from "./gradients.js";
import { Head, type HeadPlan, type HeadRows } from "./head.js";
import type { IdenticalSequences, SharedInput } from "./identical.js";
import type { MicroBatch } from "./micro-batches.js";
import { Trunk } from "./trunk.js";
import type { TrunkBatch, TrunkPlan } from "./trunk-plan.js";

/** One pass over some sequences: what is asked for and where the answers go. */
export interface Pass {
  readonly inputs: readonly SharedInput[];
  /** Takes what was computed; returns the loss, or undefined in a pass without gradients. */
  readonly evaluate: (sequence: IdenticalSequences, current: TokenLogprobs) => TokenLossResult | undefined;
  /** False: log-probabilities only. */
  readonly training: boolean;
  readonly temperature: number;
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
    private readonly trunkPlan: TrunkPlan,
    headPlan: HeadPlan,
    readonly gradients: GradientArena,
  ) {
    this.trunk = new Trunk(trunkPlan, gradients);
    this.head = new Head(headPlan, gradients);
  }

  /** Runs one micro-batch of the pass; its gradients are added to the lane's arena. */
  async run(pass: Pass, { members, time }: MicroBatch, options: RunOptions): Promise<void> {
    const { temperature, training } = pass;
    const batch: TrunkBatch = { batch: members.length, time };
    const inputs = members.map((index) => pass.inputs[index]!);
    this.embed(inputs, this.trunk.input(batch).data, time);
    const hidden = await this.trunk.forward(batch, training, options);

    const spans = lossSpans(inputs, time);
    const rows = this.head.rows(spans.reduce((sum, { sequence }) => sum + sequence.response.length, 0));
    gatherLossRows(spans, hidden.data, rows, this.config.hiddenSize);
    await this.head.forward(rows, temperature, training, options);
    const withEntropy = evaluateLoss(pass, spans, rows);
    if (!training) return;

    await this.head.backward(rows, temperature, withEntropy, options);
    const outputGradient = this.trunk.outputGradient(batch).data;
    outputGradient.fill(0);
    addLossRows(spans, rows, outputGradient, this.config.hiddenSize);
    const inputGradient = await this.trunk.backward(batch, options);
    if (this.trunkPlan.isTrained(embeddingName)) this.addEmbeddingGradients(inputs, inputGradient.data, time);
  }

  close(): void {
    this.trunk.close();
    this.head.close();
  }

  /** Writes each token's embedding to its row; padding is zero. */
  private embed(inputs: readonly SharedInput[], x: Float32Array, time: number): void {
    const { hiddenSize } = this.config;
    for (const [row, { tokens }] of inputs.entries()) {
      const start = row * time;
      for (const [position, token] of tokens.entries()) {
        const to = (start + position) * hiddenSize;
        this.gradients.readWeight(embeddingName, token * hiddenSize, x.subarray(to, to + hiddenSize));
      }
      x.fill(0, (start + tokens.length) * hiddenSize, (start + time) * hiddenSize);
    }
  }

  private addEmbeddingGradients(inputs: readonly SharedInput[], dx: Float32Array, time: number): void {
    const { hiddenSize } = this.config;
    const { data: gradient } = this.gradients.gradient(embeddingName);
    for (const [row, { tokens }] of inputs.entries()) {
      for (const [position, token] of tokens.entries()) {
        const to = token * hiddenSize;
        const from = (row * time + position) * hiddenSize;
        for (let i = 0; i < hiddenSize; i++) gradient[to + i]! += dx[from + i]!;
      }
    }
  }
}

/** Where the predictions of a sequence's response start in a micro-batch. */
export interface LossSpan {
  readonly sequence: IdenticalSequences;
  /** Row of the hidden states whose prediction is the first response token. */
  readonly start: number;
}

export function lossSpans(inputs: readonly SharedInput[], time: number): LossSpan[] {
  return inputs.flatMap(({ sequences }, row) =>
    sequences.map((sequence) => ({ sequence, start: row * time + sequence.prompt.length - 1 })),
  );
}

function gatherLossRows(spans: readonly LossSpan[], hidden: Float32Array, rows: HeadRows, hiddenSize: number): void {
  let offset = 0;
  for (const { sequence, start } of spans) {
    const { response } = sequence;
    rows.hidden.set(hidden.subarray(start * hiddenSize, (start + response.length) * hiddenSize), offset * hiddenSize);
    for (const [i, token] of response.entries()) rows.targets[offset + i] = BigInt(token);
    offset += response.length;
  }
}

/** Sequences of one input share rows of the hidden states: their gradients add up. */
function addLossRows(spans: readonly LossSpan[], rows: HeadRows, hidden: Float32Array, hiddenSize: number): void {
  let offset = 0;
  for (const { sequence, start } of spans) {
    const count = sequence.response.length * hiddenSize;
    const to = start * hiddenSize;
    for (let i = 0; i < count; i++) hidden[to + i]! += rows.hiddenGradients[offset + i]!;
    offset += count;
  }
}

/** Hands over every sequence's log-probabilities, puts the loss's gradients in the rows. True if entropies have one. */
export function evaluateLoss(
  { evaluate }: Pick<Pass, "evaluate">,
  spans: readonly LossSpan[],
  rows: Pick<HeadRows, "logprobs" | "entropies" | "logprobGradients" | "entropyGradients">,
): boolean {
  let withEntropy = false;
  let offset = 0;
  for (const { sequence } of spans) {
    const end = offset + sequence.response.length;
    const result = evaluate(sequence, {
      logprobs: rows.logprobs.slice(offset, end),
      entropies: rows.entropies.slice(offset, end),
    });
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
