/**
 * The Policy port: all that the trainer knows of an engine. Modelled on the Tinker primitives, so that the embedded
 * engine and a cluster are the same thing to the trainer. One adapter per engine stands beside this file.
 */
import type { ChatMessage } from "../data/question.js";

export type StopReason = "stop" | "length";

export interface SamplingParameters {
  /** 0 = greedy. */
  readonly temperature: number;
  /** 0 = all tokens. */
  readonly topK: number;
  /** 1 = all tokens. */
  readonly topP: number;
  /** Upper bound of generated tokens, the stop token included. */
  readonly maxTokens: number;
  readonly stopTokens: readonly number[];
}

export interface SampleRequest extends SamplingParameters {
  readonly prompt: readonly number[];
  /** Independent continuations wanted. */
  readonly count: number;
  /** The same seed gives the same continuations, whatever else is in flight. */
  readonly seed: number;
}

export interface SampleOptions {
  readonly signal?: AbortSignal;
  /**
   * The sequences are rollouts, not a measurement: an engine may draw them from an approximation of the policy
   * (engine.rolloutPrecision), and then reports its logprobs. Default false.
   */
  readonly rollout?: boolean;
}

export interface SampledSequence {
  readonly requestIndex: number;
  readonly sampleIndex: number;
  /** Ends in a stop token exactly when `stopReason` is "stop". */
  readonly tokens: readonly number[];
  /** log π of each drawn token under the untruncated distribution at the sampling temperature. */
  readonly logprobs: Float32Array;
  readonly stopReason: StopReason;
  /** Number of optimizer steps that had been applied to the weights that drew it. */
  readonly policyVersion: number;
}

/** What a token loss is computed on: the context, the tokens that carry loss, and whatever the loss needs beside. */
export interface TokenSequence {
  readonly prompt: readonly number[];
  readonly response: readonly number[];
  /**
   * log π of the response under the policy that drew it after `prompt`; null or absent if it was drawn otherwise. Engines
   * without a gradient of the entropy estimate it from these sequences alone.
   */
  readonly oldLogprobs?: Float32Array | null;
}

export interface TokenLogprobs {
  readonly logprobs: Float32Array;
  /** Nats; an engine that cannot tell returns NaN (see `PolicyInfo.exactEntropy`). */
  readonly entropies: Float32Array;
}

export interface TokenLossResult {
  readonly loss: number;
  readonly logprobGradient: Float32Array;
  readonly entropyGradient?: Float32Array;
}

/** A token loss in a form that a remote trainer computes itself. */
export type ServerLoss =
  /** −weight · Σ log π. */
  | { readonly kind: "linear"; readonly weight: number }
  /** −advantage · Σ min(r, clip(r) …) with r = π / π_old; `clip` null = the plain ratio. */
  | {
      readonly kind: "ratio";
      readonly oldLogprobs: Float32Array;
      readonly advantage: number;
      readonly clip: { readonly low: number; readonly high: number } | null;
    };

/** Pure; depends on one sequence only, so gradients cannot depend on the micro-batch split. */
export interface TokenLoss<S extends TokenSequence> {
  (sequence: S, current: TokenLogprobs): TokenLossResult;
  /** The same loss, if it has one of these forms: a remote trainer then needs one pass in place of two. */
  readonly serverLoss?: (sequence: S) => ServerLoss | null;
}

export interface ForwardBackwardResult<S extends TokenSequence> {
  readonly loss: number;
  readonly sequences: readonly { readonly sequence: S; readonly current: TokenLogprobs; readonly loss: number }[];
  /** Tokens of prompts and responses, counted for every pass over them: what a service bills. */
  readonly tokens: number;
  /** Tokens that were computed in each pass: prompts that sequences have in common once, padding included. */
  readonly computedTokens: number;
  /** Of these, padding. */
  readonly paddingTokens: number;
}

export interface AdamWParameters {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** 0 = no clipping. */
  readonly maxGradNorm: number;
}

export interface OptimizerStepResult {
  /** NaN where an engine does not report it. */
  readonly gradNorm: number;
  readonly skipped: boolean;
}

export interface PolicyInfo {
  readonly engine: "embedded" | "tinker";
  readonly model: string;
  readonly device: string;
  readonly contextLength: number;
  readonly parameterCount: number;
  readonly vocabularySize: number;
  readonly eosTokenIds: readonly number[];
  /** AdamW settings that the engine does not take from a step: another value is refused before the run. */
  readonly fixedOptimizer?: Readonly<Partial<Omit<AdamWParameters, "learningRate">>>;
  readonly capabilities: {
    /** The entropy bonus is differentiated exactly. */
    readonly exactEntropy: boolean;
    /** Where not: its gradient is estimated from the sampled tokens. */
    readonly estimatedEntropy?: boolean;
    readonly fullFineTuning: boolean;
    /** A frozen reference (KL) can be evaluated. */
    readonly reference: boolean;
    /** Sampling with weights older than the trainer's is well defined. */
    readonly staleSamplersSafe: boolean;
    /** Training calls take effect in the order of the calls, so the next may be made before the last is awaited. */
    readonly queuesCalls?: boolean;
  };
}

export interface Policy {
  readonly info: PolicyInfo;

  /** Yields sequences as they finish, in any order. */
  sample(requests: readonly SampleRequest[], options?: SampleOptions): AsyncIterable<SampledSequence>;

  /** log π_θ of given responses, in the order given. `temperature`: what the logits are divided by. */
  logprobs<S extends TokenSequence>(
    sequences: readonly S[],
    options?: { temperature?: number; signal?: AbortSignal },
  ): Promise<readonly TokenLogprobs[]>;

  /** The same under the frozen reference: the weights the policy had when it was opened (capability `reference`). */
  referenceLogprobs<S extends TokenSequence>(
    sequences: readonly S[],
    options?: { temperature?: number; signal?: AbortSignal },
  ): Promise<readonly TokenLogprobs[]>;

  /** Adds the gradient of Σ tokenLoss to the accumulator. */
  forwardBackward<S extends TokenSequence>(
    sequences: readonly S[],
    tokenLoss: TokenLoss<S>,
    options?: { temperature?: number; signal?: AbortSignal },
  ): Promise<ForwardBackwardResult<S>>;

  /**
   * Clips, skips on a non-finite gradient, updates, clears the accumulator. `samplingNext`: the next call will sample, so
   * a remote engine may prepare for it.
   */
  optimizerStep(parameters: AdamWParameters, options?: { samplingNext?: boolean }): Promise<OptimizerStepResult>;

  /** Exact training state into an existing directory; `loadState` continues bit for bit. */
  saveState(directory: string): Promise<void>;
  loadState(directory: string): Promise<void>;

  /** An HF model directory. */
  exportModel(directory: string): Promise<void>;

  close(): Promise<void>;
}

/** Renders prompts and turns tokens into text; one implementation reads HF tokenizer.json and chat templates. */
export interface TextCodec {
  /** Text to ids. Special tokens (BOS) are added only on demand: a plain prompt wants them, a response does not. */
  encode(text: string, options?: { addSpecialTokens?: boolean }): number[];
  /** Special tokens are left out unless asked for. */
  decode(tokens: readonly number[], options?: { keepSpecialTokens?: boolean }): string;
  /** Messages through the chat template with the generation prompt; a plain prompt where there is no template. */
  encodeChat(messages: readonly ChatMessage[]): number[];
  readonly stopTokens: readonly number[];
}
