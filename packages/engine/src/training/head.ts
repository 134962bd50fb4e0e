import { finalNormName, headName } from "../model/index.js";
import type { RunOptions, Tensor } from "../runtime/types.js";
import type { ModelConfig } from "../weights/index.js";
import { BufferPool, float } from "./buffers.js";
import type { GradientArena } from "./gradients.js";
import { type HeadGraphs, headGraphs } from "./head-graph.js";
import { BoundRuns, type Sessions } from "./sessions.js";

/** Numbers in one [rows, vocabulary] tensor at a time: 64 MB. A few such tensors live at once. */
const CHUNK_ELEMENTS = 16 * 1024 * 1024;

/** The rows that carry loss in a micro-batch: each predicts one target. All arrays have `count` rows. */
export interface HeadRows {
  readonly count: number;
  /** [count, hidden]: hidden states before the final norm. */
  readonly hidden: Float32Array;
  /** [count, hidden]: ∂loss/∂hidden, written by `backward`. */
  readonly hiddenGradients: Float32Array;
  readonly targets: BigInt64Array;
  readonly logprobs: Float32Array;
  readonly entropies: Float32Array;
  readonly logprobGradients: Float32Array;
  readonly entropyGradients: Float32Array;
}

/** The head's graphs: shared by all lanes. */
export class HeadPlan {
  readonly graphs: HeadGraphs;
  readonly chunkRows: number;

  constructor(
    readonly config: ModelConfig,
    readonly sessions: Sessions,
    chunkElements = CHUNK_ELEMENTS,
  ) {
    this.graphs = headGraphs(config, { entropyGradient: true });
    this.chunkRows = Math.max(1, Math.floor(chunkElements / config.vocabularySize));
  }
}

/**
 * Final norm, language-model head and token distribution of one lane, in chunks of rows so that vocabulary × tokens is
 * never whole in memory. If all rows fit in one chunk the distribution is kept for the backward pass; otherwise it is
 * computed again.
 */
export class Head {
  private readonly buffers = new BufferPool();
  private readonly runs = new BoundRuns();
  private readonly inverseTemperature = new Float32Array(1);
  private targets = new BigInt64Array(0);

  constructor(
    private readonly plan: HeadPlan,
    private readonly gradients: GradientArena,
  ) {}

  /** Rows on reused memory: what they hold is valid until the next call. */
  rows(count: number): HeadRows {
    const { hiddenSize } = this.plan.config;
    const floats = (name: string, columns: number) => this.buffers.tensor(name, [count, columns], {}).data;
    if (this.targets.length < count) {
      this.targets = new BigInt64Array(count);
      this.runs.clear();
    }
    return {
      count,
      hidden: floats("hidden", hiddenSize),
      hiddenGradients: floats("hiddenGradients", hiddenSize),
      targets: this.targets.subarray(0, count),
      logprobs: floats("logprobs", 1),
      entropies: floats("entropies", 1),
      logprobGradients: floats("logprobGradients", 1),
      entropyGradients: floats("entropyGradients", 1),
    };
  }

  /** Fills `logprobs` and `entropies`. With `save`, prepares for `backward`. */
  async forward(rows: HeadRows, temperature: number, save: boolean, options: RunOptions): Promise<void> {
    const keep = save && rows.count <= this.plan.chunkRows;
    for (const chunk of this.chunks(rows)) await this.forwardChunk(rows, chunk, temperature, keep, options);
  }

  /**
   * Fills `hiddenGradients` and adds the gradients of norm and head to the lane's accumulators.
   * Entropy gradients are only read with `entropy`.
   */
  async backward(rows: HeadRows, temperature: number, entropy: boolean, options: RunOptions): Promise<void> {
    const { config, graphs, sessions, chunkRows } = this.plan;
    const session = entropy
      ? sessions.get("head, backward with entropy", () => graphs.backward)
      : sessions.get("head, backward", () => headGraphs(config, { entropyGradient: false }).backward);
    for (const chunk of this.chunks(rows)) {
      if (rows.count > chunkRows) await this.forwardChunk(rows, chunk, temperature, true, options);
      const run = this.runs.get(`backward ${entropy} ${keyOf(chunk)}`, this.generation, session, () => {
        const tensors = this.tensors(rows, chunk);
        for (const { output, value } of graphs.saved)
          tensors[value.name] = tensors[output] ?? this.buffers.tensor(value.name, value.shape, { rows: chunk.count });
        const gradients = {
          dhidden: tensors.dhidden!,
          "gradient.norm": tensors["accumulator.norm"]!,
          "gradient.head": tensors["accumulator.head"]!,
        };
        return { feeds: tensors, fetches: gradients };
      });
      await run.run(options);
    }
  }

  close(): void {
    this.runs.clear();
    this.buffers.clear();
  }

  private readonly generation = () => this.buffers.generation;

  private *chunks({ count }: HeadRows): Iterable<Chunk> {
    const { chunkRows } = this.plan;
    for (let start = 0; start < count; start += chunkRows) yield { start, count: Math.min(chunkRows, count - start) };
  }

  private async forwardChunk(rows: HeadRows, chunk: Chunk, temperature: number, save: boolean, options: RunOptions) {
    const { graphs, sessions } = this.plan;
    this.inverseTemperature[0] = 1 / temperature;
    const session = save
      ? sessions.get("head, training forward", () => graphs.forward)
      : sessions.get("head, evaluation", () => graphs.evaluation);
    const run = this.runs.get(`${save ? "forward" : "evaluation"} ${keyOf(chunk)}`, this.generation, session, () => {
      const tensors = this.tensors(rows, chunk);
      const fetches: Record<string, Tensor> = { logprob: tensors.logprob!, entropy: tensors.entropy! };
      if (save)
        for (const { output, value } of graphs.saved)
          fetches[output] ??= this.buffers.tensor(value.name, value.shape, { rows: chunk.count });
      return { feeds: tensors, fetches };
    });
    await run.run(options);
  }

  /** Every tensor of a chunk under its input or output name. */
  private tensors(rows: HeadRows, { start, count }: Chunk): Record<string, Tensor> {
    const { hiddenSize } = this.plan.config;
    const head = headName(this.plan.config);
    const part = (data: Float32Array, columns: number) =>
      float(data.subarray(start * columns, (start + count) * columns), [count, columns]);
    return {
      hidden: part(rows.hidden, hiddenSize),
      dhidden: part(rows.hiddenGradients, hiddenSize),
      targets: { type: "int64", shape: [count, 1], data: rows.targets.subarray(start, start + count) },
      logprob: part(rows.logprobs, 1),
      entropy: part(rows.entropies, 1),
      dlogprob: part(rows.logprobGradients, 1),
      dentropy: part(rows.entropyGradients, 1),
      inverseTemperature: float(this.inverseTemperature, []),
      norm: this.gradients.weight(finalNormName),
      head: this.gradients.weight(head),
      "accumulator.norm": this.gradients.gradient(finalNormName),
      "accumulator.head": this.gradients.gradient(head),
    };
  }
}

interface Chunk {
  readonly start: number;
  readonly count: number;
}

const keyOf = ({ start, count }: Chunk) => `${start}+${count}`;
