import { embeddingName } from "../model/index.js";
import type { RunOptions } from "../runtime/types.js";
import type { TokenLogprobs, TokenLossResult } from "../types.js";
import type { ModelConfig } from "../weights/index.js";
import type { GradientArena } from "./gradients.js";
import { Head, type HeadPlan, type HeadRows } from "./head.js";
import type { IdenticalSequences, SharedInput } from "./identical.js";
import { type RowLayout, rowLayout } from "./row-layout.js";
import { Trunk } from "./trunk.js";
import type { TrunkPlan } from "./trunk-plan.js";

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
  async run(pass: Pass, members: readonly number[], options: RunOptions): Promise<void> {
    const { temperature, training } = pass;
    const inputs = members.map((index) => pass.inputs[index]!);
    const layout = rowLayout(inputs);
    this.embed(inputs, layout, this.trunk.input(layout).data);
    const hidden = await this.trunk.forward(layout, training, options);

    const spans = lossSpans(inputs, layout);
    const rows = this.head.rows(spans.reduce((sum, { sequence }) => sum + sequence.response.length, 0));
    gatherLossRows(spans, hidden.data, rows, this.config.hiddenSize);
    await this.head.forward(rows, temperature, training, options);
    const withEntropy = evaluateLoss(pass, spans, rows);
    if (!training) return;

    await this.head.backward(rows, temperature, withEntropy, options);
    const outputGradient = this.trunk.outputGradient(layout).data;
    outputGradient.fill(0);
    addLossRows(spans, rows, outputGradient, this.config.hiddenSize);
    const inputGradient = await this.trunk.backward(layout, options);
    if (this.trunkPlan.isTrained(embeddingName)) this.addEmbeddingGradients(inputs, layout, inputGradient.data);
  }

  close(): void {
    this.trunk.close();
    this.head.close();
  }

  /** Writes each token's embedding to its row; padding is zero. */
  private embed(inputs: readonly SharedInput[], { runs, padding }: RowLayout, x: Float32Array): void {
    const { hiddenSize } = this.config;
    for (const { member, from, count, row } of runs) {
      const { tokens } = inputs[member]!;
      for (let i = 0; i < count; i++) {
        const to = (row + i) * hiddenSize;
        this.gradients.readWeight(embeddingName, tokens[from + i]! * hiddenSize, x.subarray(to, to + hiddenSize));
      }
    }
    for (const [first, end] of padding) x.fill(0, first * hiddenSize, end * hiddenSize);
  }

  private addEmbeddingGradients(inputs: readonly SharedInput[], { runs }: RowLayout, dx: Float32Array): void {
    const { hiddenSize } = this.config;
    const { data: gradient } = this.gradients.gradient(embeddingName);
    for (const { member, from, count, row } of runs) {
      const { tokens } = inputs[member]!;
      for (let token = 0; token < count; token++) {
        const to = tokens[from + token]! * hiddenSize;
        const source = (row + token) * hiddenSize;
        for (let i = 0; i < hiddenSize; i++) gradient[to + i]! += dx[source + i]!;
      }
    }
  }
}

/** Where the predictions of a sequence's response are in a micro-batch. */
export interface LossSpan {
  readonly sequence: IdenticalSequences;
  /** Row of the hidden states whose prediction is the first response token: the last one of the prompt. */
  readonly first: number;
  /** Row of the second one's; the others follow it. */
  readonly rest: number;
}

export function lossSpans(inputs: readonly SharedInput[], { rowOf }: Pick<RowLayout, "rowOf">): LossSpan[] {
  return inputs.flatMap(({ sequences, tokens }, member) =>
    sequences.map((sequence) => {
      const { length } = sequence.prompt;
      const first = rowOf(member, length - 1);
      return { sequence, first, rest: length < tokens.length ? rowOf(member, length) : first + 1 };
    }),
  );
}

function gatherLossRows(spans: readonly LossSpan[], hidden: Float32Array, rows: HeadRows, hiddenSize: number): void {
  let offset = 0;
  for (const { sequence, first, rest } of spans) {
    const { response } = sequence;
    rows.hidden.set(hidden.subarray(first * hiddenSize, (first + 1) * hiddenSize), offset * hiddenSize);
    const others = hidden.subarray(rest * hiddenSize, (rest + response.length - 1) * hiddenSize);
    rows.hidden.set(others, (offset + 1) * hiddenSize);
    for (const [i, token] of response.entries()) rows.targets[offset + i] = BigInt(token);
    offset += response.length;
  }
}

/** Sequences share rows of the hidden states: their gradients add up. */
function addLossRows(spans: readonly LossSpan[], rows: HeadRows, hidden: Float32Array, hiddenSize: number): void {
  let offset = 0;
  const add = (row: number, count: number) => {
    const to = row * hiddenSize;
    for (let i = 0; i < count * hiddenSize; i++) hidden[to + i]! += rows.hiddenGradients[offset + i]!;
    offset += count * hiddenSize;
  };
  for (const { sequence, first, rest } of spans) {
    add(first, 1);
    add(rest, sequence.response.length - 1);
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
