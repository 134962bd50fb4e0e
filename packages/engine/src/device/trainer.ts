import { type ForwardAndBackward, type Subgraph, serialiseModel } from "../graph/index.js";
import { causalMask } from "../model/index.js";
import type { Device, DeviceSession, DeviceTensor, RunOptions, Tensor } from "../runtime/index.js";
import { type EvaluatedSequence, evaluateMembers, gatherInputs, type SharedInput } from "../training/identical.js";
import { evaluateLoss, type LossSpan, lossSpans, type Pass } from "../training/lane.js";
import { type MicroBatch, planMicroBatches } from "../training/micro-batches.js";
import { gridLayout } from "../training/row-layout.js";
import type {
  ForwardBackwardOptions,
  ForwardBackwardResult,
  TokenLogprobs,
  TokenLoss,
  TokenSequence,
} from "../types.js";
import type { ModelConfig } from "../weights/index.js";
import type { DeviceWeights } from "./device-weights.js";
import type { DeviceRotary } from "./rotary.js";
import {
  accumulatorInput,
  type BackwardKind,
  evaluationGraph,
  gradientOutput,
  trainingGraph,
} from "./training-graph.js";
import type { Transfer } from "./transfer.js";

/** Padded tokens in a micro-batch unless the caller says otherwise: enough rows for a GPU's products. */
const MAX_MICRO_BATCH_TOKENS = 4096;
/** Numbers in the [rows, vocabulary] tensors, of which a few live at once: 128 MB each, what every adapter can bind. */
const MAX_LOGITS = 32 * 1024 * 1024;
const KEPT_MASKS = 8;

/**
 * Forward and backward with everything on a device: token ids, log-probabilities and the loss's gradients by them cross,
 * nothing else. Micro-batches run one after another.
 */
export class DeviceTrainer {
  private readonly sessions = new Map<string, Promise<DeviceSession>>();
  private readonly masks = new Map<number, DeviceTensor>();
  private readonly graphsByKind = new Map<string, ForwardAndBackward>();

  constructor(
    private readonly device: Device,
    private readonly transfer: Transfer,
    private readonly config: ModelConfig,
    private readonly weights: DeviceWeights,
    private readonly rotary: DeviceRotary,
  ) {}

  async logprobs(sequences: readonly TokenSequence[], options: ForwardBackwardOptions): Promise<TokenLogprobs[]> {
    const { results } = await this.run(sequences, undefined, options);
    return results.map(({ current }) => current);
  }

  /** Adds the gradients of Σ tokenLoss to those on the device. If it fails, what they hold is undefined. */
  async forwardBackward<S extends TokenSequence>(
    sequences: readonly S[],
    tokenLoss: TokenLoss<S>,
    options: ForwardBackwardOptions,
  ): Promise<ForwardBackwardResult<S>> {
    const { results, ...counts } = await this.run(sequences, tokenLoss, options);
    return {
      loss: results.reduce((sum, { loss }) => sum + loss, 0),
      sequences: sequences.map((sequence, index) => ({ sequence, ...results[index]! })),
      ...counts,
    };
  }

  async close(): Promise<void> {
    for (const mask of this.masks.values()) mask.release();
    this.masks.clear();
    for (const session of this.sessions.values()) (await session).close();
    this.sessions.clear();
  }

  private async run<S extends TokenSequence>(
    sequences: readonly S[],
    tokenLoss: TokenLoss<S> | undefined,
    options: ForwardBackwardOptions,
  ) {
    const affordable = Math.max(1, Math.floor(MAX_LOGITS / this.config.vocabularySize));
    const { temperature = 1, microBatchTokens = Math.min(MAX_MICRO_BATCH_TOKENS, affordable), signal } = options;
    const results: EvaluatedSequence[] = new Array(sequences.length);
    const evaluate = evaluateMembers(sequences, tokenLoss, results);
    for (const [index, sequence] of sequences.entries()) {
      if (sequence.response.length > 0) continue;
      evaluate({ ...sequence, members: [index] }, { logprobs: new Float32Array(0), entropies: new Float32Array(0) });
    }
    const inputs = gatherInputs(sequences);
    const lengths = inputs.map(({ tokens }) => tokens.length);
    const plan = planMicroBatches(lengths, microBatchTokens);
    const pass: Pass = { inputs, evaluate, training: tokenLoss !== undefined, temperature };
    for (const batch of plan) await this.runMicroBatch(pass, batch, signal ? { signal } : {});
    const tokens = lengths.reduce((sum, length) => sum + length, 0);
    const computedTokens = plan.reduce((sum, { members, time }) => sum + members.length * time, 0);
    return { results, tokens, computedTokens, paddingTokens: computedTokens - tokens };
  }

  private async runMicroBatch(pass: Pass, { members, time }: MicroBatch, options: RunOptions): Promise<void> {
    const inputs = members.map((index) => pass.inputs[index]!);
    const spans = lossSpans(inputs, gridLayout(inputs, time));
    const rows = tokenRows(spans);
    const feeds = { ...(await this.feeds(inputs, time)), ...rowFeeds(spans, pass.temperature) };
    const results = { logprob: column(rows.logprobs), entropy: column(rows.entropies) };
    if (!pass.training) {
      const session = await this.session("evaluation", () => evaluationGraph(this.config, this.weights.lora));
      await session.run(feeds, results, options);
      evaluateLoss(pass, spans, rows);
      return;
    }
    const { forward, saved } = this.graphs({ entropy: true, accumulate: false });
    const kept = saved.map(({ output }) => output).filter((output) => !(output in results));
    const session = await this.session("training forward", () => forward);
    const fetches = Object.fromEntries(kept.map((output) => [output, "device" as const]));
    const activations: Record<string, DeviceTensor> = await session.run(feeds, { ...results, ...fetches }, options);
    try {
      const entropy = evaluateLoss(pass, spans, rows);
      const seeds = { dlogprob: column(rows.logprobGradients), dentropy: column(rows.entropyGradients) };
      await this.backward(entropy, { ...feeds, ...seeds }, { ...activations, ...results }, options);
    } finally {
      for (const activation of Object.values(activations)) activation.release();
    }
  }

  /** @param forward the forward pass's outputs by name */
  private async backward(
    entropy: boolean,
    feeds: Record<string, Tensor | DeviceTensor>,
    forward: Readonly<Record<string, Tensor | DeviceTensor>>,
    options: RunOptions,
  ): Promise<void> {
    const { trained } = this.weights;
    const kind: BackwardKind = { entropy, accumulate: trained.hasGradients };
    const { backward, saved } = this.graphs(kind);
    const session = await this.session(`training backward ${JSON.stringify(kind)}`, () => backward);
    for (const { output, value } of saved) feeds[value.name] = forward[output]!;
    const fetches: Record<string, "device"> = {};
    for (const { name } of trained.all) {
      fetches[gradientOutput(name)] = "device";
      if (kind.accumulate) feeds[accumulatorInput(name)] = await trained.gradient(name);
    }
    const gradients: Record<string, DeviceTensor> = await session.run(
      pick(feeds, session.inputNames),
      fetches,
      options,
    );
    for (const { name } of trained.all) trained.setGradient(name, gradients[gradientOutput(name)]!);
  }

  private async feeds(inputs: readonly SharedInput[], time: number): Promise<Record<string, Tensor | DeviceTensor>> {
    const ids = new Int32Array(inputs.length * time);
    for (const [row, { tokens }] of inputs.entries()) ids.set(tokens, row * time);
    return {
      ...this.weights.feeds(),
      ids: { type: "int32", shape: [ids.length], data: ids },
      batchTime: { type: "int64", shape: [3], data: BigInt64Array.of(BigInt(inputs.length), BigInt(time), -1n) },
      start: { type: "int64", shape: [1], data: BigInt64Array.of(0n) },
      mask: await this.mask(time),
      ...(await this.rotary.feeds(time)),
    };
  }

  private async mask(time: number): Promise<DeviceTensor> {
    let mask = this.masks.get(time);
    if (!mask) {
      mask = await this.transfer.upload(causalMask(time), [time, time]);
      if (this.masks.size >= KEPT_MASKS) {
        const [oldest, unused] = this.masks.entries().next().value!;
        unused.release();
        this.masks.delete(oldest);
      }
      this.masks.set(time, mask);
    }
    return mask;
  }

  private graphs(kind: BackwardKind) {
    const key = JSON.stringify(kind);
    let graphs = this.graphsByKind.get(key);
    if (!graphs) {
      graphs = trainingGraph(this.config, this.weights.lora, kind);
      this.graphsByKind.set(key, graphs);
    }
    return graphs;
  }

  private session(name: string, part: () => Subgraph): Promise<DeviceSession> {
    let session = this.sessions.get(name);
    if (!session) {
      const model = serialiseModel(part(), this.device.provider);
      // As on the CPU, the graphs are written as they should run.
      session = this.device.createSession(model, { name, graphOptimization: "disabled" });
      this.sessions.set(name, session);
    }
    return session;
  }
}

function tokenRows(spans: readonly LossSpan[]) {
  const count = spans.reduce((sum, { sequence }) => sum + sequence.response.length, 0);
  const floats = () => new Float32Array(count);
  return { logprobs: floats(), entropies: floats(), logprobGradients: floats(), entropyGradients: floats() };
}

/** Which hidden states are read, and what they are to predict. */
function rowFeeds(spans: readonly LossSpan[], temperature: number): Record<string, Tensor> {
  const rows = Int32Array.from(spans.flatMap(({ sequence, first }) => sequence.response.map((_, i) => first + i)));
  const targets = BigInt64Array.from(spans.flatMap(({ sequence }) => sequence.response).map(BigInt));
  return {
    rows: { type: "int32", shape: [rows.length], data: rows },
    targets: { type: "int64", shape: [targets.length, 1], data: targets },
    inverseTemperature: { type: "float32", shape: [], data: Float32Array.of(1 / temperature) },
  };
}

function column(data: Float32Array): Tensor {
  return { type: "float32", shape: [data.length, 1], data };
}

function pick<T>(tensors: Readonly<Record<string, T>>, names: readonly string[]): Record<string, T> {
  return Object.fromEntries(names.map((name) => [name, tensors[name]!]));
}
