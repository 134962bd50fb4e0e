import { type Subgraph, serialiseModel } from "../graph/index.js";
import { finalNormName, headName } from "../model/index.js";
import { createSession } from "../runtime/index.js";
import type { RunOptions, Session, Tensor } from "../runtime/types.js";
import type { ModelConfig, ParameterStore } from "../weights/index.js";
import { BufferPool } from "./buffers.js";
import { type HeadGraphs, headGraphs } from "./head-graph.js";

/** Numbers in one [rows, vocabulary] tensor at a time: 64 MB. A few such tensors live at once. */
const CHUNK_ELEMENTS = 16 * 1024 * 1024;

/** The rows that carry loss in a micro-batch: each predicts one target. All arrays have `count` rows. */
export interface HeadRows {
  readonly count: number;
  /** [count, hidden]: hidden states before the final norm; `backward` overwrites it with ∂loss/∂hidden. */
  readonly hidden: Float32Array;
  readonly targets: BigInt64Array;
  readonly logprobs: Float32Array;
  readonly entropies: Float32Array;
  readonly logprobGradients: Float32Array;
  readonly entropyGradients: Float32Array;
}

/**
 * Final norm, language-model head and token distribution, in chunks of rows so that vocabulary × tokens is never whole
 * in memory. If all rows fit in one chunk the distribution is kept for the backward pass; otherwise it is computed again.
 */
export class Head {
  private readonly sessions = new Map<string, Session>();
  private readonly buffers = new BufferPool();
  private readonly graphs: HeadGraphs;
  private readonly chunkRows: number;

  constructor(
    private readonly config: ModelConfig,
    private readonly parameters: ParameterStore,
    private readonly threads: number | undefined,
    chunkElements = CHUNK_ELEMENTS,
  ) {
    this.graphs = headGraphs(config, { entropyGradient: true });
    this.chunkRows = Math.max(1, Math.floor(chunkElements / config.vocabularySize));
  }

  /** Fresh rows on reused memory: valid until the next call. */
  rows(count: number): HeadRows {
    const floats = (name: string, columns: number) => this.buffers.tensor(name, [count, columns], {}).data;
    return {
      count,
      hidden: floats("hidden", this.config.hiddenSize),
      targets: new BigInt64Array(count),
      logprobs: floats("logprobs", 1),
      entropies: floats("entropies", 1),
      logprobGradients: floats("logprobGradients", 1),
      entropyGradients: floats("entropyGradients", 1),
    };
  }

  /** Fills `logprobs` and `entropies`. With `save`, prepares for `backward`. */
  async forward(rows: HeadRows, temperature: number, save: boolean, options: RunOptions): Promise<void> {
    const keep = save && rows.count <= this.chunkRows;
    for (let start = 0; start < rows.count; start += this.chunkRows)
      await this.forwardChunk(rows, start, temperature, keep, options);
  }

  /**
   * Adds the gradients of norm and head to their accumulators and overwrites `hidden` with its gradient.
   * Entropy gradients are only read with `entropy`.
   */
  async backward(rows: HeadRows, temperature: number, entropy: boolean, options: RunOptions): Promise<void> {
    const kept = rows.count <= this.chunkRows;
    for (let start = 0; start < rows.count; start += this.chunkRows) {
      if (!kept) await this.forwardChunk(rows, start, temperature, true, options);
      const session = this.session(entropy ? "backward with entropy" : "backward", () =>
        entropy ? this.graphs.backward : headGraphs(this.config, { entropyGradient: false }).backward,
      );
      const { chunk, count } = this.chunk(rows, start, temperature);
      for (const { output, value } of this.graphs.saved)
        chunk[value.name] = chunk[output] ?? this.buffers.tensor(value.name, value.shape, { rows: count });
      const fetches = {
        dhidden: chunk.hidden!,
        "gradient.norm": chunk["accumulator.norm"]!,
        "gradient.head": chunk["accumulator.head"]!,
      };
      // hidden is read to the end of the run, so its gradient needs memory of its own first.
      const dhidden = this.buffers.tensor("dhidden", ["rows", this.config.hiddenSize], { rows: count });
      await session.run(pick(chunk, session.inputNames), { ...fetches, dhidden }, options);
      (chunk.hidden!.data as Float32Array).set(dhidden.data);
    }
  }

  close(): void {
    for (const session of this.sessions.values()) session.close();
    this.sessions.clear();
    this.buffers.clear();
  }

  private async forwardChunk(rows: HeadRows, start: number, temperature: number, save: boolean, options: RunOptions) {
    const session = this.session(save ? "forward" : "evaluation", () =>
      save ? this.graphs.forward : this.graphs.evaluation,
    );
    const { chunk, count } = this.chunk(rows, start, temperature);
    const fetches: Record<string, Tensor> = { logprob: chunk.logprob!, entropy: chunk.entropy! };
    if (save)
      for (const { output, value } of this.graphs.saved)
        fetches[output] ??= this.buffers.tensor(value.name, value.shape, { rows: count });
    await session.run(pick(chunk, session.inputNames), fetches, options);
  }

  /** Every tensor of a chunk under its input or output name. */
  private chunk(rows: HeadRows, start: number, temperature: number) {
    const { hiddenSize, vocabularySize } = this.config;
    const count = Math.min(this.chunkRows, rows.count - start);
    const column = (data: Float32Array): Tensor => float(data.subarray(start, start + count), [count, 1]);
    const norm = this.parameters.get(finalNormName);
    const head = this.parameters.get(headName(this.config));
    const chunk: Record<string, Tensor> = {
      hidden: float(rows.hidden.subarray(start * hiddenSize, (start + count) * hiddenSize), [count, hiddenSize]),
      targets: { type: "int64", shape: [count, 1], data: rows.targets.subarray(start, start + count) },
      logprob: column(rows.logprobs),
      entropy: column(rows.entropies),
      dlogprob: column(rows.logprobGradients),
      dentropy: column(rows.entropyGradients),
      inverseTemperature: float(Float32Array.of(1 / temperature), []),
      norm: float(norm.data, [hiddenSize]),
      head: float(head.data, [vocabularySize, hiddenSize]),
      "accumulator.norm": float(norm.gradient, [hiddenSize]),
      "accumulator.head": float(head.gradient, [vocabularySize, hiddenSize]),
    };
    return { chunk, count };
  }

  private session(name: string, part: () => Subgraph): Session {
    let session = this.sessions.get(name);
    if (!session) {
      session = createSession(serialiseModel(part()), {
        name: `language-model head, ${name}`,
        ...(this.threads === undefined ? {} : { threads: this.threads }),
      });
      this.sessions.set(name, session);
    }
    return session;
  }
}

function float(data: Float32Array, shape: readonly number[]): Tensor {
  return { type: "float32", shape, data };
}

function pick(tensors: Readonly<Record<string, Tensor>>, names: readonly string[]): Record<string, Tensor> {
  return Object.fromEntries(names.map((name) => [name, tensors[name]!]));
}
