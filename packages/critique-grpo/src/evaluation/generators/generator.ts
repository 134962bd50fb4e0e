/** Who answers: the policy being trained, a checkpoint on a server, or any OpenAI-compatible endpoint. */
import type { Question } from "../../data/question.js";
import type { StopReason } from "../../policy/policy.js";

export interface GenerationRequest {
  readonly question: Question;
  /** Which samples of the question are wanted, ascending from 0. */
  readonly samples: readonly number[];
  /** 0 = greedy. */
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly maxTokens: number;
  /** The same seed gives the same sample of the same number, as far as whoever answers honours seeds. */
  readonly seed: number;
}

export interface GeneratedResponse {
  readonly requestIndex: number;
  readonly sample: number;
  readonly text: string;
  /** Empty where only an endpoint knows them. */
  readonly tokens: readonly number[];
  /** Tokens of the response; NaN where an endpoint does not tell. */
  readonly length: number;
  readonly stopReason: StopReason;
  /** Why there is no response to this question, such as a prompt that the endpoint refuses. */
  readonly failure?: string;
}

export interface ResponseGenerator {
  /** Yields responses as they finish, in any order. What concerns one question alone is its `failure`; all else throws. */
  generate(
    requests: readonly GenerationRequest[],
    options?: { readonly signal?: AbortSignal },
  ): AsyncIterable<GeneratedResponse>;
}
