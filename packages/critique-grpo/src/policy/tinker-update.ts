/**
 * Token losses over the Tinker protocol. A loss that the server computes itself takes one pass; any other one takes a
 * forward pass for log π, the loss in this process, and a linear pass with ∂loss/∂log π as weights: the same gradient.
 */
import {
  type Datum,
  type ForwardBackwardOutput,
  float32Tensor,
  int64Tensor,
  type TrainingClient,
  textInput,
} from "@critique-grpo/tinker";
import { InputError } from "../config/errors.js";
import type { ForwardBackwardResult, ServerLoss, TokenLogprobs, TokenLoss, TokenSequence } from "./policy.js";
import { meanSurprisal, type SequenceGradient, withEntropyEstimate } from "./tinker-entropy.js";

/** How a gradient of the entropy is got: not at all, or estimated. */
export type EntropyMode = "error" | "estimate";

export interface UpdatePass<S extends TokenSequence> {
  readonly result: ForwardBackwardResult<S>;
  /** False: a gradient was not finite, and nothing was added to the accumulator. */
  readonly finite: boolean;
  /** The server's work that is still under way; the optimizer step may be queued behind it. */
  readonly underWay: readonly Promise<unknown>[];
}

/** A gradient that is not finite ends the pass before anything is accumulated. */
class NonFiniteGradient extends Error {}

/**
 * Adds the gradient of Σ tokenLoss to the server's accumulator.
 * @throws InputError if the loss wants the gradient of the entropy and `entropy` is "error"
 */
export async function forwardBackward<S extends TokenSequence>(
  training: TrainingClient,
  sequences: readonly S[],
  tokenLoss: TokenLoss<S>,
  entropy: EntropyMode,
): Promise<UpdatePass<S>> {
  const planned = plan(sequences, tokenLoss);
  const current = new Array<Float32Array>(sequences.length);
  const underWay: Promise<unknown>[] = [];
  // Servers that average need the number of all datums with the first call of the step.
  const options = { datumsInStep: sequences.length };
  let finite = true;

  const { custom } = planned;
  const customFuture =
    custom.length === 0
      ? undefined
      : training.forwardBackwardCustom(
          custom.map((index) => datumOf(sequences[index]!)),
          (logprobs) => {
            const members = custom.map((index, i) => {
              const sequence = sequences[index]!;
              current[index] = responsePart(sequence, logprobs[i]!);
              return { sequence, logprobs: current[index] };
            });
            const gradients = customGradients(members, tokenLoss, entropy);
            return {
              loss: gradients.loss,
              gradients: gradients.vectors.map((vector, i) => atTargets(members[i]!.sequence, vector)),
            };
          },
          options,
        );
  // Queued behind the first: sent as soon as that one was taken on, and not at all if it fails.
  const serverFutures = planned.server.map(({ indices, losses }) => {
    const { lossFn, config } = serverCall(losses[0]!);
    const data = indices.map((index, i) => datumOf(sequences[index]!, losses[i]!));
    const future = training.forwardBackward(data, lossFn, {
      ...options,
      ...(config === undefined ? {} : { lossFnConfig: config }),
    });
    return { indices, future };
  });
  try {
    if (customFuture !== undefined) {
      await customFuture.submitted;
      underWay.push(customFuture);
    }
  } catch (error) {
    if (!(error instanceof NonFiniteGradient)) throw error;
    finite = false;
  }
  if (finite) {
    for (const { indices, future } of serverFutures) {
      const output = await future;
      for (const [i, index] of indices.entries()) current[index] = outputLogprobs(sequences[index]!, output, i);
    }
  }
  return { result: describeResult(sequences, current, tokenLoss, custom), finite, underWay };
}

/** log π of the responses of given sequences, by a forward pass. */
export async function forwardLogprobs(
  training: TrainingClient,
  sequences: readonly TokenSequence[],
  signal?: AbortSignal,
): Promise<Float32Array[]> {
  if (sequences.length === 0) return [];
  // The weights only mask the loss, which nobody reads.
  const data = sequences.map((sequence) => datumOf(sequence, { kind: "linear", weight: 0 }));
  const output = await training.forward(data, "cross_entropy", signal === undefined ? {} : { signal });
  return sequences.map((sequence, i) => outputLogprobs(sequence, output, i));
}

interface Plan {
  /** Sequences whose loss is computed here. */
  readonly custom: readonly number[];
  /** Sequences whose loss the server computes; a group shares loss and configuration. */
  readonly server: readonly { readonly indices: readonly number[]; readonly losses: readonly ServerLoss[] }[];
}

function plan<S extends TokenSequence>(sequences: readonly S[], tokenLoss: TokenLoss<S>): Plan {
  const losses = sequences.map((sequence) => tokenLoss.serverLoss?.(sequence) ?? null);
  const sendable = losses.map((loss) => loss !== null && isFiniteLoss(loss));
  const custom = [...sequences.keys()].filter((index) => !sendable[index]);
  const groups = new Map<string, { indices: number[]; losses: ServerLoss[] }>();
  for (const index of sequences.keys()) {
    if (!sendable[index]) continue;
    const loss = losses[index]!;
    const key = JSON.stringify(serverCall(loss));
    const group = groups.get(key) ?? { indices: [], losses: [] };
    group.indices.push(index);
    group.losses.push(loss);
    groups.set(key, group);
  }
  return { custom, server: [...groups.values()] };
}

function isFiniteLoss(loss: ServerLoss): boolean {
  if (loss.kind === "linear") return Number.isFinite(loss.weight);
  return Number.isFinite(loss.advantage) && loss.oldLogprobs.every(Number.isFinite);
}

function serverCall(loss: ServerLoss): { lossFn: string; config?: Readonly<Record<string, number>> } {
  switch (loss.kind) {
    case "linear":
      return { lossFn: "cross_entropy" };
    case "ratio":
      if (loss.clip === null) return { lossFn: "importance_sampling" };
      return {
        lossFn: "ppo",
        config: { clip_low_threshold: 1 - loss.clip.low, clip_high_threshold: 1 + loss.clip.high },
      };
    default:
      throw new RangeError(`Unknown loss ${String(loss satisfies never)}`);
  }
}

/** A sequence as the protocol has it: inputs are all tokens but the last, targets all but the first. */
function datumOf(sequence: TokenSequence, loss?: ServerLoss): Datum {
  const { prompt, response } = sequence;
  if (prompt.length === 0)
    throw new InputError("A sequence without a prompt cannot be trained: nothing comes before its first token");
  const tokens = [...prompt, ...response];
  const inputs = { target_tokens: int64Tensor(tokens.slice(1)) };
  const datum = { modelInput: textInput(tokens.slice(0, -1)) };
  const constant = (value: number) => float32Tensor(atTargets(sequence, new Float32Array(response.length).fill(value)));
  switch (loss?.kind) {
    case undefined:
      return { ...datum, lossFnInputs: inputs };
    case "linear":
      return { ...datum, lossFnInputs: { ...inputs, weights: constant(loss.weight) } };
    case "ratio":
      return {
        ...datum,
        lossFnInputs: {
          ...inputs,
          logprobs: float32Tensor(atTargets(sequence, loss.oldLogprobs)),
          advantages: constant(loss.advantage),
        },
      };
    default:
      throw new RangeError(`Unknown loss ${String(loss satisfies never)}`);
  }
}

/** Values of response tokens at their places among the targets; 0 for the prompt's. */
function atTargets({ prompt, response }: TokenSequence, values: Float32Array): Float32Array {
  const result = new Float32Array(prompt.length + response.length - 1);
  result.set(values, prompt.length - 1);
  return result;
}

function responsePart({ prompt }: TokenSequence, targets: ArrayLike<number>): Float32Array {
  return Float32Array.from(targets).slice(prompt.length - 1);
}

function outputLogprobs(sequence: TokenSequence, output: ForwardBackwardOutput, index: number): Float32Array {
  const logprobs = output.lossFnOutputs[index]?.logprobs?.data;
  const expected = sequence.prompt.length + sequence.response.length - 1;
  if (logprobs?.length !== expected) {
    throw new Error(`The server gave ${logprobs?.length ?? "no"} log-probabilities for ${expected} target tokens`);
  }
  return responsePart(sequence, logprobs);
}

interface Member<S extends TokenSequence> {
  readonly sequence: S;
  readonly logprobs: Float32Array;
}

function customGradients<S extends TokenSequence>(
  members: readonly Member<S>[],
  tokenLoss: TokenLoss<S>,
  entropy: EntropyMode,
): { loss: number; vectors: Float32Array[] } {
  const surprisal = meanSurprisal(members);
  let loss = 0;
  const gradients = members.map(({ sequence, logprobs }): SequenceGradient => {
    const result = tokenLoss(sequence, currentOf(sequence, logprobs, surprisal));
    loss += result.loss;
    return {
      logprobs,
      oldLogprobs: sequence.oldLogprobs ?? null,
      logprobGradient: result.logprobGradient,
      entropyGradient: result.entropyGradient ?? null,
    };
  });
  const wantsEntropy = gradients.some(({ entropyGradient }) => entropyGradient?.some((value) => value !== 0));
  if (wantsEntropy && entropy === "error") {
    throw new InputError(
      "The loss has an entropy bonus, and the Tinker protocol gives no gradient of the entropy: set algorithm.entropyCoefficient to 0, or engine.entropy to estimate",
    );
  }
  const vectors = wantsEntropy ? withEntropyEstimate(gradients) : gradients.map((g) => g.logprobGradient);
  if (!Number.isFinite(loss) || vectors.some((vector) => !vector.every(Number.isFinite))) throw new NonFiniteGradient();
  return { loss, vectors };
}

/** Logprobs with the estimate of the entropies: −log π of tokens drawn from the policy, else the mean over those. */
function currentOf(sequence: TokenSequence, logprobs: Float32Array, surprisal: number): TokenLogprobs {
  const drawn = sequence.oldLogprobs !== null && sequence.oldLogprobs !== undefined;
  return { logprobs, entropies: logprobs.map((logprob) => (drawn ? -logprob : surprisal)) };
}

function describeResult<S extends TokenSequence>(
  sequences: readonly S[],
  logprobs: readonly (Float32Array | undefined)[],
  tokenLoss: TokenLoss<S>,
  custom: readonly number[],
): ForwardBackwardResult<S> {
  const known = sequences.map((sequence, i) => ({
    sequence,
    logprobs: logprobs[i] ?? new Float32Array(sequence.response.length).fill(Number.NaN),
  }));
  const surprisal = meanSurprisal(known);
  const described = known.map(({ sequence, logprobs }) => {
    const current = currentOf(sequence, logprobs, surprisal);
    return { sequence, current, loss: tokenLoss(sequence, current).loss };
  });
  const length = ({ prompt, response }: TokenSequence) => prompt.length + response.length;
  const passes = (indices: Iterable<number>) => [...indices].reduce((sum, index) => sum + length(sequences[index]!), 0);
  const tokens = passes(sequences.keys()) + passes(custom);
  const loss = described.reduce((sum, sequence) => sum + sequence.loss, 0);
  return { loss, sequences: described, tokens, computedTokens: tokens, paddingTokens: 0 };
}
