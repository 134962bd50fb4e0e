import type { ModelInput, TensorData } from "./tensors.js";

/** Built-in losses of the service; servers add their own (`gspo`, `dppo`, `ppo_critic` on SkyRL). */
export type LossFn = "cross_entropy" | "importance_sampling" | "ppo" | "cispo" | "dro" | (string & {});

/**
 * One training sequence. For a sequence s of n tokens: `modelInput` = s[0..n-2], `target_tokens` = s[1..n-1], and every
 * other per-token input (weights, advantages, logprobs) has the length N = n-1 and belongs to `target_tokens[i]`.
 */
export interface Datum {
  readonly modelInput: ModelInput;
  readonly lossFnInputs: Readonly<Record<string, TensorData>>;
}

export interface ForwardBackwardRequest {
  readonly modelId: string;
  /** Position in the model's sequence of training requests, from 1. */
  readonly seqId?: number;
  readonly data: readonly Datum[];
  readonly lossFn: LossFn;
  readonly lossFnConfig?: Readonly<Record<string, number>>;
  /** True for a forward pass without gradients. */
  readonly forwardOnly: boolean;
}

/** Outputs of one datum by name; `logprobs` always, `elementwise_loss` where the server gives it. */
export type LossFnOutput = Readonly<Record<string, TensorData>>;

export interface ForwardBackwardOutput {
  readonly lossFnOutputType: string;
  /** One entry per datum, in request order. */
  readonly lossFnOutputs: readonly LossFnOutput[];
  /** Keys are `name:reduction`, for example `loss:sum`. */
  readonly metrics: Readonly<Record<string, number>>;
}

/** AdamW with decoupled weight decay; hyper-parameters are given per step. */
export interface AdamParams {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
  /** Global gradient norm above which gradients are scaled down; 0 switches clipping off. */
  readonly gradClipNorm: number;
}

/** The service's defaults. */
export const DEFAULT_ADAM: AdamParams = {
  learningRate: 1e-4,
  beta1: 0.9,
  beta2: 0.95,
  eps: 1e-12,
  weightDecay: 0,
  gradClipNorm: 0,
};

export interface OptimStepOutput {
  readonly metrics: Readonly<Record<string, number>>;
}
