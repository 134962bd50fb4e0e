/** Servers of the protocol differ in arithmetic, not in routes. */
export type DialectName = "hosted" | "skyrl-jax" | "skyrl-train";

/** What a dialect does differently; everything else in the package asks these facts, never the name. */
export interface Dialect {
  readonly name: DialectName;
  /**
   * "sum": the loss is Σ over tokens and datums. "datum-mean": Σ_t loss_t / Σ_t w_t per datum, then the mean over all datums
   * since the last optimizer step (SkyRL-JAX); callers' losses are rewritten so that the gradient is the sum's.
   */
  readonly reduction: "sum" | "datum-mean";
  /** A repeated training request with the same (model, seq_id) is recognised. */
  readonly repeatsAreSafe: boolean;
  /** 409 is a passing state worth a retry. */
  readonly retryConflict: boolean;
  /** Queued forward_backward calls are merged under the first call's loss: different losses must not be in flight together. */
  readonly mergesQueuedLosses: boolean;
  /** Which parameters of optim_step have an effect. */
  readonly optimizer: "all" | "no-clipping" | "learning-rate-only";
  /** Which saved sampler weights may be sampled. */
  readonly samplers: "immutable" | "latest-save" | "latest-save-unstepped";
  /** Losses the server computes. */
  readonly losses: ReadonlySet<string>;
  /** Whether cispo's clipping thresholds may be sent. */
  readonly cispoThresholds: boolean;
  /** Whether sampler logprobs are of the temperature-scaled distribution; else of the model's own (temperature 1). */
  readonly scaledSampleLogprobs: boolean;
  /** A model that takes over another's slot inherits its unapplied gradients. */
  readonly leavesGradients: boolean;
  /** forward and forward_backward understand protobuf. */
  readonly protobuf: boolean;
  /** Extra loss inputs are an error at the server. */
  readonly checkpointIds: "prefixed" | "bare";
}

const HOSTED: Dialect = {
  name: "hosted",
  reduction: "sum",
  repeatsAreSafe: true,
  retryConflict: true,
  mergesQueuedLosses: false,
  optimizer: "all",
  samplers: "immutable",
  losses: new Set(["cross_entropy", "importance_sampling", "ppo", "cispo", "dro"]),
  cispoThresholds: true,
  scaledSampleLogprobs: true,
  leavesGradients: false,
  protobuf: true,
  checkpointIds: "prefixed",
};

const SKYRL_JAX: Dialect = {
  ...HOSTED,
  name: "skyrl-jax",
  reduction: "datum-mean",
  retryConflict: false,
  optimizer: "no-clipping",
  samplers: "latest-save-unstepped",
  losses: new Set(["cross_entropy", "importance_sampling", "ppo", "cispo"]),
  scaledSampleLogprobs: false,
  leavesGradients: true,
  protobuf: false,
  checkpointIds: "bare",
};

const SKYRL_TRAIN: Dialect = {
  ...SKYRL_JAX,
  name: "skyrl-train",
  reduction: "sum",
  mergesQueuedLosses: true,
  optimizer: "learning-rate-only",
  samplers: "latest-save",
  losses: new Set(["cross_entropy", "importance_sampling", "ppo", "cispo", "gspo", "dppo", "ppo_critic"]),
  cispoThresholds: false,
  scaledSampleLogprobs: true,
  leavesGradients: false,
};

/** The facts of a dialect. `repeatsAreSafe` of SkyRL depends on its version and is found out by detection. */
export function dialectOf(
  name: DialectName,
  facts: Partial<Pick<Dialect, "repeatsAreSafe" | "protobuf">> = {},
): Dialect {
  switch (name) {
    case "hosted":
      return { ...HOSTED, ...facts };
    case "skyrl-jax":
      return { ...SKYRL_JAX, ...facts };
    case "skyrl-train":
      return { ...SKYRL_TRAIN, ...facts };
    default:
      return name satisfies never;
  }
}
