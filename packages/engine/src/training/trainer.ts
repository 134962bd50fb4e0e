import { streamedArray } from "../runtime/huge-pages.js";
import type {
  ForwardBackwardOptions,
  ForwardBackwardResult,
  RecomputeMode,
  TokenLogprobs,
  TokenLoss,
  TokenSequence,
} from "../types.js";
import type { LoraAdapter, ModelConfig, ParameterStore } from "../weights/index.js";
import { GradientArena } from "./gradients.js";
import { HeadPlan } from "./head.js";
import { type EvaluatedSequence, evaluateMembers, gatherInputs } from "./identical.js";
import { Lane, type Pass } from "./lane.js";
import { defaultMemoryBytes, estimateTrainingMemory, fixedBytes } from "./memory.js";
import { defaultMicroBatchTokens } from "./micro-batches.js";
import { planLanes, type RowBatch, type RowCosts, rowCosts } from "./row-plan.js";
import { planLaneCount, Sessions, sharedThreads } from "./sessions.js";
import { type TrunkBatch, TrunkPlan } from "./trunk-plan.js";

export interface TrainerOptions {
  /** Cores to use; default: all. */
  readonly threads?: number | undefined;
  /** Trains this adapter; the parameters stay as they are. */
  readonly adapter?: LoraAdapter | undefined;
  /** Whether the backward pass computes layers again: where memory is short ("auto", default), always or never. */
  readonly recompute?: RecomputeMode | undefined;
  /** Memory that training may plan with; default: a share of the machine's. */
  readonly memoryBytes?: number | undefined;
  /** For tests: see `HeadPlan` and `TrunkOptions`. */
  readonly headChunkElements?: number;
  readonly blockRows?: number;
}

/**
 * Forward and backward over micro-batches, which are spread over lanes: on few cores, one core a lane scales better
 * than every operation split in two, because nothing waits for the other core.
 */
export class Trainer {
  private readonly sessions: Sessions;
  private readonly trunkPlan: TrunkPlan;
  private readonly headPlan: HeadPlan;
  private readonly laneCount: number;
  private readonly costs: RowCosts;
  /** What the optimizer changes. */
  private readonly trained: ParameterStore;
  private readonly lanes: Lane[] = [];

  constructor(
    private readonly config: ModelConfig,
    private readonly parameters: ParameterStore,
    options: TrainerOptions = {},
  ) {
    const threads = sharedThreads(options.threads);
    const { adapter, blockRows } = options;
    this.trained = adapter?.parameters ?? parameters;
    this.laneCount = planLaneCount(threads, this.trained.data.byteLength);
    this.sessions = new Sessions(threads);
    this.costs = rowCosts(config);
    this.trunkPlan = new TrunkPlan(config, parameters, adapter, this.sessions, {
      blockRows,
      keptBytes: (batch) => this.keptBytes(batch, options),
    });
    this.headPlan = new HeadPlan(config, this.sessions, adapter === undefined, options.headChunkElements);
  }

  /** What is left of the memory for a lane's activations. */
  private keptBytes({ batch, time, rows }: TrunkBatch, options: TrainerOptions): number {
    const { recompute = "auto", memoryBytes = defaultMemoryBytes(), threads, adapter } = options;
    switch (recompute) {
      case "always":
        return 0;
      case "never":
        return Number.POSITIVE_INFINITY;
      case "auto": {
        const demand = { config: this.config, lora: adapter?.config, threads };
        const estimate = estimateTrainingMemory({
          ...demand,
          longest: time,
          microBatchTokens: Math.max(rows, batch * time),
        });
        return Math.max(0, memoryBytes - fixedBytes(estimate)) / this.laneCount;
      }
      default:
        throw new RangeError(`Unknown mode ${String(recompute satisfies never)}`);
    }
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
    const { results, ...counts } = await this.run(sequences, tokenLoss, options);
    for (const { gradients } of this.lanes.slice(1)) gradients.flushTo(this.trained.gradients);
    return {
      loss: results.reduce((sum, { loss }) => sum + loss, 0),
      sequences: sequences.map((sequence, index) => ({ sequence, ...results[index]! })),
      ...counts,
    };
  }

  close(): void {
    for (const lane of this.lanes) lane.close();
    this.sessions.close();
  }

  private async run<S extends TokenSequence>(
    sequences: readonly S[],
    tokenLoss: TokenLoss<S> | undefined,
    options: ForwardBackwardOptions,
  ) {
    const {
      temperature = 1,
      microBatchTokens = defaultMicroBatchTokens(this.config, this.laneCount),
      signal,
    } = options;
    const results: EvaluatedSequence[] = new Array(sequences.length);
    const evaluate = evaluateMembers(sequences, tokenLoss, results);
    for (const [index, sequence] of sequences.entries()) {
      if (sequence.response.length > 0) continue;
      evaluate({ ...sequence, members: [index] }, { logprobs: new Float32Array(0), entropies: new Float32Array(0) });
    }
    const inputs = gatherInputs(sequences);
    const plan = planLanes(inputs, microBatchTokens, this.laneCount, this.costs);
    await this.runLanes({ inputs, evaluate, training: tokenLoss !== undefined, temperature }, plan, signal);
    const batches = plan.flat();
    return {
      results,
      tokens: batches.reduce((sum, { tokens }) => sum + tokens, 0),
      computedTokens: batches.reduce((sum, { rows }) => sum + rows, 0),
      paddingTokens: batches.reduce((sum, { padding }) => sum + padding, 0),
    };
  }

  /** Returns when every lane has ended; the first failure stops the others. */
  private async runLanes(
    pass: Pass,
    plan: readonly (readonly RowBatch[])[],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    // With too few micro-batches for all lanes, such as one long sequence, the operations share the cores instead.
    const isSpread = this.laneCount > 1 && plan.every((batches) => batches.length > 0);
    this.sessions.parallelism = isSpread ? "caller" : "pool";
    const stop = new AbortController();
    const signals = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
    const failures: unknown[] = [];
    await Promise.all(
      (isSpread ? plan : [plan.flat()]).map(async (batches, index) => {
        try {
          for (const { members } of batches) await this.lane(index).run(pass, members, { signal: signals });
        } catch (error) {
          failures.push(error);
          stop.abort();
        }
      }),
    );
    if (failures.length === 0) return;
    for (const { gradients } of this.lanes.slice(1)) gradients.data.fill(0);
    throw failures[0];
  }

  private lane(index: number): Lane {
    while (this.lanes.length <= index) {
      const { gradients, data } = this.trained;
      // Frozen models have no gradients; their lanes never touch an arena.
      const own = this.lanes.length === 0 || gradients.length === 0 ? gradients : streamedArray(data.length);
      const arena = new GradientArena(this.parameters, this.trained, own);
      this.lanes.push(new Lane(this.config, this.trunkPlan, this.headPlan, arena));
    }
    return this.lanes[index]!;
  }
}
