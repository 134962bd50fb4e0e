import type { ModelInput } from "./tensors.js";

export type StopReason = "stop" | "length";

export interface SamplingParams {
  readonly maxTokens: number;
  /** Sample i of a request uses `seed + i`. */
  readonly seed?: number;
  /** Stop strings, or stop token ids. The stop token is part of the returned tokens. */
  readonly stop?: readonly string[] | readonly number[];
  readonly temperature?: number;
  /** -1 switches top-k off. */
  readonly topK?: number;
  readonly topP?: number;
}

/** Weights to sample from: exactly one of the three. */
export type SamplingTarget =
  | { readonly samplingSessionId: string; readonly seqId: number }
  | { readonly baseModel: string }
  | { readonly modelPath: string };

export interface SampleRequest {
  readonly target: SamplingTarget;
  readonly prompt: ModelInput;
  readonly numSamples: number;
  readonly samplingParams: SamplingParams;
  readonly promptLogprobs: boolean;
  /** Number of alternatives per prompt position; 0 for none. */
  readonly topkPromptLogprobs: number;
}

export interface SampledSequence {
  readonly stopReason: StopReason;
  readonly tokens: Int32Array;
  /** One per token, natural logarithm. */
  readonly logprobs?: Float32Array;
  /** Session-wide name of this sequence, where the server gives one. */
  readonly sequenceId?: string;
}

/** `[token id, logprob]`, most likely first. */
export type TokenLogprob = readonly [token: number, logprob: number];

export interface SampleResponse {
  readonly sequences: readonly SampledSequence[];
  /** As the server aligns it; {@link SamplingClient.computeLogprobs} returns them aligned with the prompt. */
  readonly promptLogprobs?: readonly (number | null)[];
  readonly topkPromptLogprobs?: readonly (readonly TokenLogprob[] | null)[];
  readonly promptCacheHitTokens?: number;
}
