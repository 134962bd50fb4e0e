/** What an evaluation needs and what it tells. */
import type { Question } from "../data/question.js";
import type { StopReason } from "../policy/policy.js";
import type { Reward } from "../rollout/records.js";

/** A response as the verifier sees it. */
export interface ScoredText {
  readonly text: string;
  readonly tokens: readonly number[];
  readonly stopReason: StopReason;
}

export interface EvaluationOptions {
  /** The verifier; it never throws: a reward function that fails gives `Reward.failure`. */
  readonly score: (question: Question, response: ScoredText) => Promise<Reward> | Reward;
  /** Responses a question at `temperature`. */
  readonly samples: number;
  /** 0 = greedy; then `samples` must be 1. */
  readonly temperature: number;
  readonly topK?: number;
  readonly topP?: number;
  /** Longest response, the stop token included. */
  readonly maxTokens: number;
  readonly seed: number;
  /** Also draw one greedy response a question. */
  readonly greedy?: boolean;
  /** Requests handed to the policy at once; bounds memory, never changes the result. Default 256 sequences. */
  readonly batchSequences?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** A mean with a 95 % bootstrap interval over questions (the same resamples at every call). */
export interface Estimate {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

export interface PassAtK extends Estimate {
  readonly k: number;
}

export interface SourceSummary {
  readonly dataSource: string;
  readonly questions: number;
  /** Mean over questions of the fraction of right samples. */
  readonly pass1: Estimate;
  /** Unbiased pass@k for k = 1, 2, 4, … and `samples`. */
  readonly passAt: readonly PassAtK[];
  /** Fraction of questions whose greedy response is right; absent if none was drawn. */
  readonly greedy?: Estimate;
  /** Questions without a right response in all `samples` tries. */
  readonly persistentFailures: number;
  readonly meanReward: number;
}

/** The numbers of one evaluation: what evaluations.jsonl holds. */
export interface EvaluationSummary extends SourceSummary {
  readonly samples: number;
  readonly temperature: number;
  /** One entry a data source, in the order of first appearance; `dataSource` of the summary itself is "all". */
  readonly sources: readonly SourceSummary[];
  /** Tokens of the sampled responses (greedy ones left out unless they are the only ones). */
  readonly lengths: { readonly mean: number; readonly min: number; readonly max: number };
  /** Fraction of responses cut off at `maxTokens`. */
  readonly truncated: number;
  /** Responses whose reward function failed; they count as wrong. */
  readonly rewardFailures: number;
  readonly generatedTokens: number;
  readonly seconds: number;
}

export interface EvaluatedResponse {
  readonly text: string;
  readonly length: number;
  readonly stopReason: StopReason;
  readonly reward: Reward;
}

export interface EvaluatedQuestion {
  readonly question: Question;
  readonly responses: readonly EvaluatedResponse[];
  readonly greedy?: EvaluatedResponse;
}

export interface EvaluationResult {
  readonly summary: EvaluationSummary;
  readonly questions: readonly EvaluatedQuestion[];
}
