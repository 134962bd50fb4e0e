/** Runs as the page sees them. Times are ISO 8601, UTC; null where nothing was written. */

export type RunStateName = "running" | "finished" | "interrupted" | "failed" | "crashed" | "unknown";

export interface RunSummary {
  /** Path below the root that the dashboard was started on; names the run in every request. */
  readonly id: string;
  readonly task: "train" | "sft" | null;
  readonly state: RunStateName;
  readonly step: number;
  readonly steps: number;
  readonly phase: string | null;
  readonly startedAt: string | null;
  readonly heartbeatAt: string | null;
  /** Why it failed. */
  readonly error: string | null;
  /** Newest values, null where the run has none. */
  readonly reward: number | null;
  readonly initialAccuracy: number | null;
  readonly refinedAccuracy: number | null;
  /** Reward (supervised: loss) through the run, at most 60 values. */
  readonly sparkline: readonly (number | null)[];
}

export interface RunListing {
  readonly root: string;
  /** Newest first. */
  readonly runs: readonly RunSummary[];
  /** More runs than are shown lie below the root. */
  readonly truncated: boolean;
}

export type HealthSeverity = "problem" | "warning";

/** Something that a person should look at, with what it means and what helps. */
export interface HealthFlag {
  readonly kind:
    | "crashed"
    | "failed"
    | "entropy-collapse"
    | "entropy-growth"
    | "kl-growth"
    | "accuracy-drop"
    | "all-zero-groups"
    | "truncation"
    | "critic-failures"
    | "reward-failures"
    | "skipped-updates"
    | "sampler-mismatch"
    | "unabsorbed-refinements";
  readonly severity: HealthSeverity;
  readonly title: string;
  readonly meaning: string;
  readonly remedy: string;
  /** Metric to look at, null if none. */
  readonly metric: string | null;
}

export interface RunEventLine {
  readonly time: string;
  readonly step: number;
  readonly type: string;
  readonly message: string | null;
}

export interface RunOverview extends RunSummary {
  readonly host: string | null;
  readonly pid: number | null;
  readonly firstStep: number;
  readonly lastStep: number;
  /** Every metric that the run has written. */
  readonly metrics: readonly string[];
  readonly health: readonly HealthFlag[];
  /** The newest, oldest first. */
  readonly events: readonly RunEventLine[];
  readonly checkpoints: readonly number[];
  /** Resolved configuration, YAML. */
  readonly config: string;
  /** Steps that have rollouts. */
  readonly rolloutSteps: { readonly count: number; readonly first: number; readonly last: number } | null;
  readonly evaluations: number;
}

/** Mean over the steps of a bucket; lowest and highest value where the bucket holds several steps. */
export type SeriesPoint =
  | readonly [step: number, mean: number | null]
  | readonly [step: number, mean: number | null, low: number | null, high: number | null];

export interface Series {
  readonly metric: string;
  readonly points: readonly SeriesPoint[];
}

export interface SeriesAnswer {
  readonly runId: string;
  /** Steps a point stands for. */
  readonly bucketSteps: number;
  readonly series: readonly Series[];
}

export interface ConfigDifference {
  readonly key: string;
  /** As JSON, in the order of the runs; null where the key is absent. */
  readonly values: readonly (string | null)[];
}

export interface Comparison {
  readonly runs: readonly RunSummary[];
  /** Metrics that at least one of them has. */
  readonly metrics: readonly string[];
  readonly differences: readonly ConfigDifference[];
}

/** Sent over server-sent events whenever something on disk has changed. */
export interface RunChange {
  readonly runId: string;
  readonly state: RunStateName;
  readonly step: number;
  readonly phase: string | null;
  readonly heartbeatAt: string | null;
}
