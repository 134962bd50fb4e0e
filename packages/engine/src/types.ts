/**
 * The engine's public contract. It knows token ids and tensors, nothing of rewards or text.
 * The product's Policy port (packages/critique-grpo/src/policy) is a thin layer over `LanguageModel`.
 */

import type { ExecutionProvider } from "./runtime/types.js";
import type { LoraConfig } from "./weights/index.js";

/** How one prompt is to be continued. */
export interface SampleRequest {
  /** Token ids of the prompt; at least one. */
  readonly prompt: readonly number[];
  /** How many independent continuations. */
  readonly count: number;
  /** Upper bound of generated tokens, the stop token included. */
  readonly maxTokens: number;
  /** 0 = greedy. Logits are divided by it before anything else. */
  readonly temperature: number;
  /** Keep the k likeliest tokens; 0 = all. */
  readonly topK?: number;
  /** Keep the smallest set whose probability reaches p; 1 = all. */
  readonly topP?: number;
  /** Generation ends after one of these; it is part of the returned tokens. */
  readonly stopTokens: readonly number[];
  /**
   * Seed of this request. Continuation i draws from the stream (seed, i), whatever else is in the batch:
   * the same request gives the same tokens alone and among others.
   */
  readonly seed: number;
}

/**
 * Arithmetic of a model's products while it is sampled. "int8": weights and activations are rounded to 8 bits, which is
 * faster and draws from another distribution than training computes; reported logprobs are those of that distribution.
 */
export type GenerationPrecision = "float32" | "int8";

export interface SampleOptions {
  readonly signal?: AbortSignal;
  /** Default "float32". "int8" runs on the CPU only. */
  readonly precision?: GenerationPrecision;
}

export type StopReason = "stop" | "length";

/** One finished continuation. */
export interface SampledSequence {
  /** Index into the requests, and of the continuation within its request. */
  readonly requestIndex: number;
  readonly sampleIndex: number;
  /** Generated token ids; ends in a stop token exactly when `stopReason` is "stop". */
  readonly tokens: readonly number[];
  /**
   * log π(token) of each drawn token, under the untruncated distribution at the sampling temperature
   * (at temperature 0: at temperature 1). Truncation by top-k/top-p changes what is drawn, not what is reported.
   */
  readonly logprobs: Float32Array;
  readonly stopReason: StopReason;
}

/** A sequence as the trainer sees it: context, then the tokens that carry loss. */
export interface TokenSequence {
  readonly prompt: readonly number[];
  readonly response: readonly number[];
}

/** log π of each response token, and the entropy (nats) of the distribution it was drawn from. */
export interface TokenLogprobs {
  /** Shape [response length]. */
  readonly logprobs: Float32Array;
  /** Shape [response length]. */
  readonly entropies: Float32Array;
}

/** What a token loss returns for one sequence; all arrays have the length of the response. */
export interface TokenLossResult {
  /** This sequence's contribution to the scalar loss (already weighted). */
  readonly loss: number;
  /** ∂loss/∂logprob of each response token. */
  readonly logprobGradient: Float32Array;
  /** ∂loss/∂entropy of each response token; absent = no entropy term. The engine differentiates the entropy exactly. */
  readonly entropyGradient?: Float32Array;
}

/**
 * A pure function of one sequence and its current logprobs. Called once for each sequence, in any order: it must not
 * depend on the micro-batch a sequence happens to be in.
 */
export type TokenLoss<S extends TokenSequence> = (sequence: S, current: TokenLogprobs) => TokenLossResult;

export interface ForwardBackwardOptions {
  /** Temperature that the logits are divided by; 1 unless sampling used another. */
  readonly temperature?: number;
  /**
   * Upper bound of rows in a micro-batch (a prompt in common counts once), and of the tokens whose memory it may take as a
   * padded grid; a longer sequence runs alone. Gradients do not depend on it beyond float rounding.
   */
  readonly microBatchTokens?: number;
  readonly signal?: AbortSignal;
}

export interface ForwardBackwardResult<S extends TokenSequence> {
  /** Sum of the sequences' losses. */
  readonly loss: number;
  /** One entry a sequence, in the order given. */
  readonly sequences: readonly { readonly sequence: S; readonly current: TokenLogprobs; readonly loss: number }[];
  /** Tokens of prompts and responses that the layers read, those of sequences with the same input once. */
  readonly tokens: number;
  /** Rows that the layers computed: a prompt that sequences of a micro-batch have in common once, padding included. */
  readonly computedTokens: number;
  /** Of these, padding. */
  readonly paddingTokens: number;
}

export interface AdamWOptions {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Decoupled decay, applied to every parameter with two or more dimensions (not to norms and biases). */
  readonly weightDecay: number;
  /** Global L2 norm the gradient is clipped to; 0 = no clipping. */
  readonly maxGradNorm: number;
}

export interface OptimizerStepResult {
  /** Global L2 norm before clipping. */
  readonly gradNorm: number;
  /** True if the norm was not finite: nothing was updated, the gradient was dropped. */
  readonly skipped: boolean;
}

/** Facts about a loaded model. */
export interface ModelInfo {
  readonly architecture: "LlamaForCausalLM" | "Qwen2ForCausalLM" | "Qwen3ForCausalLM";
  readonly vocabularySize: number;
  /** Tokens a sequence may have in all. */
  readonly contextLength: number;
  readonly parameterCount: number;
  /** What training changes: all parameters, or those of the adapters. */
  readonly trainedParameterCount: number;
  /** Null: full fine-tuning. */
  readonly lora: LoraConfig | null;
  readonly device: string;
  /** End-of-sequence ids of generation_config.json / config.json. */
  readonly eosTokenIds: readonly number[];
}

/** Where a model comes from. */
export type ModelSource =
  /** A Hugging Face model, or a PEFT adapter whose base model is a directory (absolute, or relative to the adapter's). */
  | { readonly directory: string }
  /** A fresh model: the path of a config.json (or its parsed content) and the seed of the initialisation. */
  | { readonly config: string | Readonly<Record<string, unknown>>; readonly seed: number };

/** Low-rank adapters beside frozen weights (LoRA, Hu et al. 2021), as PEFT has them; no dropout. */
export interface LoraOptions {
  readonly rank: number;
  /** The adapters' product is scaled by alpha / rank. */
  readonly alpha: number;
  /** Names of matrices: q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj. Default: all. */
  readonly targets?: readonly string[] | "all-linear";
  /** Seed of the fresh adapters; default 0. */
  readonly seed?: number;
}

/** A fresh adapter, or a PEFT directory with one that was made for these weights. */
export type AdapterSource = LoraOptions | { readonly directory: string };

/** Whether the backward pass computes a layer's activations again instead of keeping them. Gradients are the same bits. */
export type RecomputeMode = "auto" | "always" | "never";

export interface LoadOptions {
  /**
   * What computes: the CPU, a GPU through WebGPU, or CUDA where its libraries are installed. "auto" (default) is the CPU:
   * it is the one whose speed is measured and whose results are the same to the bit from run to run.
   */
  readonly device?: "auto" | ExecutionProvider;
  /** Default "auto": the layers whose activations do not fit into `memoryBytes`. */
  readonly recompute?: RecomputeMode | undefined;
  /** Memory that training may plan with; default: 70 % of the machine's. Generation's keys and values come on top. */
  readonly memoryBytes?: number | undefined;
  /** Trains adapters and nothing else. A source that is an adapter brings its own: rank, alpha and targets must agree. */
  readonly lora?: LoraOptions | undefined;
  /** The weights are never trained, and have no gradients: for sampling, and for adapters that are opened beside them. */
  readonly frozen?: boolean | undefined;
  /**
   * How weights that are frozen or beside adapters are kept: widened to float32 (default), or "stored": what has 16 bits in its file stays so
   * and is widened when its layer runs. The results are the same bits. Norms, biases and the head are float32 in any case.
   */
  readonly frozenWeights?: "float32" | "stored" | undefined;
  /** Threads of the execution provider; default: the number of cores. */
  readonly threads?: number;
  /** Longest sequence (prompt + response) that will occur; default: what the config allows. */
  readonly contextLength?: number;
}

/**
 * A transformer that can be sampled and trained. Calls on one model run one after another, in the order they were made.
 * `loadModel(source, options)` makes one.
 */
export interface LanguageModel {
  readonly info: ModelInfo;

  /** Continues prompts; yields each sequence as it finishes. Stops early when the signal aborts (AbortError). */
  sample(requests: readonly SampleRequest[], options?: SampleOptions): AsyncIterable<SampledSequence>;

  /** log π and entropy of the response tokens, in the order given. */
  logprobs<S extends TokenSequence>(
    sequences: readonly S[],
    options?: ForwardBackwardOptions,
  ): Promise<readonly TokenLogprobs[]>;

  /** Adds the gradient of Σ tokenLoss to the accumulator. */
  forwardBackward<S extends TokenSequence>(
    sequences: readonly S[],
    tokenLoss: TokenLoss<S>,
    options?: ForwardBackwardOptions,
  ): Promise<ForwardBackwardResult<S>>;

  /** Clips, updates, clears the gradient. Skips (and reports) a non-finite gradient. */
  optimizerStep(options: AdamWOptions): Promise<OptimizerStepResult>;

  /** Writes what is trained (weights or adapters) and optimizer state exactly (float32, step count); `loadState` continues bit for bit. */
  saveState(directory: string): Promise<void>;
  loadState(directory: string): Promise<void>;

  /**
   * Writes an HF model directory (config.json, generation_config.json, model.safetensors) that transformers loads; adapters
   * are merged into the weights.
   */
  exportModel(directory: string, options?: { dtype?: "float32" | "bfloat16" | "float16" }): Promise<void>;

  /** Writes the adapters as PEFT does (adapter_config.json, adapter_model.safetensors). An error without adapters. */
  exportAdapter(directory: string): Promise<void>;

  /**
   * The current weights, frozen, for a reference policy: they can only be evaluated. With adapters only these are copied;
   * the weights beside them never change.
   */
  freeze(): Promise<FrozenModel>;

  /**
   * Another model over the same weights, with adapters, gradients and optimizer of its own. Models with adapters of one
   * shape (rank, alpha, targets) take turns at one working memory; each adds the size of its adapter, four times once it is
   * trained. While one is open, the weights beside it cannot be trained. Each is closed by itself. A loop over the samples of one must
   * not wait for another: its turn ends with the loop.
   * @throws Error that names what is wrong with the adapter; on devices
   */
  openAdapter(source: AdapterSource): Promise<LanguageModel>;

  /**
   * Parameters (and adapters) and gradient accumulators by HF name, for tests and tools: live views, do not keep. The
   * gradient of what is not trained is empty; what is kept in 16 bits is widened into a copy at each look. An error where
   * adapters of one shape take turns.
   */
  parameters(): ReadonlyMap<
    string,
    { readonly shape: readonly number[]; readonly data: Float32Array; readonly gradient: Float32Array }
  >;

  close(): Promise<void>;
}

export interface FrozenModel {
  logprobs<S extends TokenSequence>(
    sequences: readonly S[],
    options?: ForwardBackwardOptions,
  ): Promise<readonly TokenLogprobs[]>;
  close(): Promise<void>;
}
