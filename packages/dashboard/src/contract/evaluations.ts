/** Evaluations: of a training run as it goes, and of their own. */

export interface Interval {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

export interface PassRow extends Interval {
  readonly k: number;
}

/** The numbers of one benchmark. */
export interface BenchmarkResult {
  readonly name: string;
  readonly questions: number;
  readonly passAt: readonly PassRow[];
  readonly greedy: Interval | null;
  readonly majority: Interval | null;
  readonly persistentFailures: number | null;
  readonly meanReward: number | null;
}

export interface EvaluationView {
  /** Steps trained before it; null for one of its own (`critique-grpo eval`), which has a name. */
  readonly step: number | null;
  readonly name: string | null;
  readonly time: string | null;
  readonly samples: number | null;
  readonly temperature: number | null;
  readonly truncated: number | null;
  readonly meanLength: number | null;
  /** "all" first, then one a data source. */
  readonly benchmarks: readonly BenchmarkResult[];
}

export interface EvaluationsAnswer {
  /** Ascending by step. */
  readonly evaluations: readonly EvaluationView[];
}
