import type { Subgraph } from "../graph/index.js";
import { finalNormName, headName } from "../model/index.js";
import type { RunOptions, Tensor } from "../runtime/types.js";
import type { ModelConfig } from "../weights/index.js";
import { BufferPool, float } from "./buffers.js";
import type { GradientArena } from "./gradients.js";
import { type HeadGraphs, headGraphs, scoreGraph } from "./head-graph.js";
import { BoundRuns, type Sessions } from "./sessions.js";

/** Numbers in one [rows, vocabulary] tensor at a time: 64 MB. A few such tensors live at once. */
export const CHUNK_ELEMENTS = 16 * 1024 * 1024;

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
    /** Whether the optimizer changes norm and head. */
    readonly trained: boolean,
    chunkElements = CHUNK_ELEMENTS,
  ) {
    this.graphs = headGraphs(config, { entropyGradient: true, trained });
    this.chunkRows = Math.max(1, Math.floor(chunkElements / config.vocabularySize));
  }
}

/**
 * Final norm, language-model head and token distribution of one lane, in chunks of rows so that vocabulary × tokens is
 * never whole in memory. A trained head keeps the distribution for the backward pass if all rows fit in one chunk;
 * otherwise it is computed again. A frozen one prepares the gradient in the forward pass (`scoreGraph`), save where the
 * loss has an entropy term.
 */
export class Head {
  private readonly buffers = new BufferPool();
  private readonly runs = new BoundRuns();
  private readonly inverseTemperature = new Float32Array(1);
  private targets = new BigInt64Array(0);
  /** `hiddenGradients` holds ∂logprob/∂hidden since the last `forward`. */
  private scored = false;
  /** The last loss had an entropy term, so the next one will. */
  private withEntropy = false;

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
    this.scored = save && !this.plan.trained && !this.withEntropy;
    const keep = save && rows.count <= this.plan.chunkRows;
    const purpose = this.scored ? "score" : keep ? "training" : "evaluation";
    for (const chunk of this.chunks(rows)) await this.forwardChunk(rows, chunk, temperature, purpose, options);
  }

  /**
   * Fills `hiddenGradients` and adds the gradients of norm and head to the lane's accumulators.
   * Entropy gradients are only read with `entropy`.
   */
  async backward(rows: HeadRows, temperature: number, entropy: boolean, options: RunOptions): Promise<void> {
    const { config, graphs, sessions, chunkRows, trained } = this.plan;
    this.withEntropy = entropy;
    if (this.scored && !entropy) {
      scaleRows(rows.hiddenGradients, rows.logprobGradients, config.hiddenSize);
      return;
    }
    const session = entropy
      ? sessions.get("head, backward with entropy", () => graphs.backward)
      : sessions.get("head, backward", () => headGraphs(config, { entropyGradient: false, trained }).backward);
    for (const chunk of this.chunks(rows)) {
      if (this.scored || rows.count > chunkRows) await this.forwardChunk(rows, chunk, temperature, "training", options);
      const run = this.runs.get(`backward ${entropy} ${keyOf(chunk)}`, this.generation, session, () => {
        const tensors = this.tensors(rows, chunk);
        for (const { output, value } of graphs.saved)
          tensors[value.name] = tensors[output] ?? this.buffers.tensor(value.name, value.shape, { rows: chunk.count });
        const fetches: Record<string, Tensor> = { dhidden: tensors.dhidden! };
        if (trained) {
          fetches["gradient.norm"] = tensors["accumulator.norm"]!;
          fetches["gradient.head"] = tensors["accumulator.head"]!;
        }
        return { feeds: tensors, fetches };
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

  private async forwardChunk(
    rows: HeadRows,
    chunk: Chunk,
    temperature: number,
    purpose: ForwardPurpose,
    options: RunOptions,
  ) {
    const { config, graphs, sessions } = this.plan;
    this.inverseTemperature[0] = 1 / temperature;
    const parts: Readonly<Record<ForwardPurpose, () => Subgraph>> = {
      training: () => graphs.forward,
      evaluation: () => graphs.evaluation,
      score: () => scoreGraph(config),
    };
    const session = sessions.get(`head, ${purpose}`, parts[purpose]);
    const run = this.runs.get(`${purpose} ${keyOf(chunk)}`, this.generation, session, () => {
      const tensors = this.tensors(rows, chunk);
      const fetches: Record<string, Tensor> = { logprob: tensors.logprob!, entropy: tensors.entropy! };
      if (purpose === "score") fetches.score = tensors.dhidden!;
      if (purpose === "training")
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
      ...(this.plan.trained
        ? {
            "accumulator.norm": this.gradients.gradient(finalNormName),
            "accumulator.head": this.gradients.gradient(head),
          }
        : {}),
    };
  }
}

/** What a forward pass is for: `training` keeps the distribution, `score` prepares the gradient. */
type ForwardPurpose = "evaluation" | "training" | "score";

/** Multiplies each row of `columns` numbers by its factor. */
function scaleRows(data: Float32Array, factors: Float32Array, columns: number): void {
  for (const [row, factor] of factors.entries())
    for (let i = row * columns; i < (row + 1) * columns; i++) data[i]! *= factor;
}

interface Chunk {
  readonly start: number;
  readonly count: number;
}

const keyOf = ({ start, count }: Chunk) => `${start}+${count}`;
