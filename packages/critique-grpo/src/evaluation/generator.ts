/** Who answers: the policy being trained, a checkpoint on a server, or any OpenAI-compatible endpoint. */
import type { Question } from "../data/question.js";
import type { Policy, StopReason, TextCodec } from "../policy/policy.js";
import { encodePrompt } from "../text/prompt.js";

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

/**
 * Sample i of a request depends on its seed and on i alone. Where some samples of a question are wanted, those before
 * them are drawn as well and dropped: prompts are prefilled once a question, which is worth more.
 */
export function policyGenerator(policy: Policy, codec: TextCodec): ResponseGenerator {
  return {
    async *generate(requests, options = {}) {
      const sampleRequests = requests.map(({ question, samples, ...sampling }) => ({
        ...sampling,
        prompt: encodePrompt(codec, question.prompt),
        count: samples.at(-1)! + 1,
        stopTokens: codec.stopTokens,
      }));
      for await (const sequence of policy.sample(sampleRequests, options)) {
        const { requestIndex, sampleIndex: sample, tokens, stopReason } = sequence;
        if (!requests[requestIndex]!.samples.includes(sample)) continue;
        yield { requestIndex, sample, text: codec.decode(tokens), tokens, length: tokens.length, stopReason };
      }
    },
  };
}
