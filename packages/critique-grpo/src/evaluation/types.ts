/** What an evaluation needs and what it tells. */
import type { Question } from "../data/question.js";
import type { StopReason } from "../policy/policy.js";
import type { Reward } from "../rollout/records.js";
import type { Estimate } from "../statistics/estimate.js";

/** A response as the verifier sees it. */
export interface ScoredText {
  readonly text: string;
  /** Empty where only an endpoint knows them. */
  readonly tokens: readonly number[];
  readonly stopReason: StopReason;
}

/** Judges responses; where it can also tell which answer a response gives, samples may vote. */
export interface Verifier {
  /** What is recorded of it, e.g. "math". */
  readonly name: string;
  /** Never throws: a reward function that fails gives `Reward.failure`. */
  readonly score: (question: Question, response: ScoredText) => Promise<Reward> | Reward;
  readonly answers?: AnswerReader;
}

/** Answers as texts that can be compared. Neither call throws for any text. */
export interface AnswerReader {
  /** The answer that a response gives, null if none is found. */
  readonly read: (question: Question, text: string) => Promise<string | null> | string | null;
  /** Whether two answers that `read` found mean the same. */
  readonly equal: (a: string, b: string) => Promise<boolean> | boolean;
}

/** Questions that are asked and judged alike: a benchmark, or a file. */
export interface EvaluationSet {
  /** Unique in an evaluation. */
  readonly name: string;
  /** Their ids are unique in the set. */
  readonly questions: readonly Question[];
  /** Responses a question. */
  readonly samples: number;
  readonly verifier: Verifier;
}

export interface GenerationSettings {
  /** 0 = greedy; then every set must have one sample. */
  readonly temperature: number;
  /** Default 0: all tokens. */
  readonly topK?: number;
  /** Default 1: all tokens. */
  readonly topP?: number;
  /** Longest response, the stop token included. */
  readonly maxTokens: number;
  readonly seed: number;
  /** Also draw one greedy response a question. */
  readonly greedy?: boolean;
}

export interface EvaluationOptions extends GenerationSettings {
  readonly score: Verifier["score"];
  /** Responses a question at `temperature`. */
  readonly samples: number;
  /** Sequences asked for at once; bounds memory, never changes the result. Default 1024. */
  readonly batchSequences?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** Intervals of an evaluation are bootstrap intervals over questions (the same resamples at every call). */
export type { Estimate };

export interface PassAtK extends Estimate {
  readonly k: number;
}

export interface SourceSummary {
  readonly dataSource: string;
  readonly questions: number;
  /** Sampled responses a question: the fewest, where questions differ. */
  readonly samples: number;
  /** Mean over questions of the fraction of right samples. */
  readonly pass1: Estimate;
  /** Unbiased pass@k for k = 1, 2, 4, … and `samples`. */
  readonly passAt: readonly PassAtK[];
  /** Fraction of questions whose most frequent answer is right; absent if answers cannot be told apart, or of one sample. */
  readonly majority?: Estimate;
  /** Fraction of questions whose greedy response is right; absent if none was drawn. */
  readonly greedy?: Estimate;
  /** Questions without a right response in all their samples. */
  readonly persistentFailures: number;
  readonly meanReward: number;
  /** Tokens of the sampled responses; NaN where an endpoint does not tell. */
  readonly lengths: { readonly mean: number; readonly min: number; readonly max: number };
  /** Fraction of sampled responses cut off at `maxTokens`. */
  readonly truncated: number;
}

/** The numbers of one evaluation: what evaluations.jsonl and summary.json hold. */
export interface EvaluationSummary extends SourceSummary {
  readonly temperature: number;
  /** One entry a data source, in the order of first appearance; `dataSource` of the summary itself is "all". */
  readonly sources: readonly SourceSummary[];
  /** Unweighted mean of the sources' pass@1: how papers average benchmarks. Absent for one source. */
  readonly macro?: number;
  /** Responses whose reward function failed; they count as wrong. */
  readonly rewardFailures: number;
  readonly generatedTokens: number;
  readonly seconds: number;
}

export interface EvaluatedResponse {
  readonly text: string;
  /** Tokens; NaN where an endpoint does not tell. */
  readonly length: number;
  readonly stopReason: StopReason;
  readonly reward: Reward;
  /** What the verifier took for the answer; undefined where it cannot tell. */
  readonly answer?: string | null;
  /** Why an endpoint gave no response; it counts as wrong. */
  readonly failure?: string;
}

/** The answer that most samples of a question give. */
export interface MajorityVote {
  /** Null if no sample gives an answer. */
  readonly answer: string | null;
  readonly votes: number;
  readonly correct: boolean;
}

export interface EvaluatedQuestion {
  readonly question: Question;
  readonly responses: readonly EvaluatedResponse[];
  readonly greedy?: EvaluatedResponse;
  readonly majority?: MajorityVote;
}

export interface EvaluationResult {
  readonly summary: EvaluationSummary;
  readonly questions: readonly EvaluatedQuestion[];
}
