/** What the stages of a rollout share: their context, and drawing responses with their rewards. */
import type { RunConfig } from "../config/schema.js";
import type { Question } from "../data/question.js";
import type { Critic } from "../feedback/critique/critic.js";
import type { Scorer } from "../feedback/reward/reward.js";
import type { Policy, SampledSequence, SampleRequest, TextCodec } from "../policy/policy.js";
import { mapConcurrent } from "./concurrency.js";
import type { ExpertSolution, InitialResponse, Refinement } from "./records.js";
import { deriveSeed } from "./seeds.js";
import type { Phase, Stopwatch } from "./stopwatch.js";

export const REWARDS_IN_FLIGHT = 64;

export type RolloutConfig = Pick<RunConfig, "seed" | "sampling" | "refinement" | "group" | "algorithm">;

export interface RolloutContext {
  readonly config: RolloutConfig;
  readonly policy: Policy;
  readonly codec: TextCodec;
  readonly score: Scorer;
  /** Needed where refinements are wanted. */
  readonly critic: Critic | null;
  /** Training step, part of every seed. */
  readonly step: number;
  readonly stopwatch: Stopwatch;
  readonly signal?: AbortSignal | undefined;
}

/** A training group on its way: what is known of one question so far. */
export interface QuestionRollout {
  readonly question: Question;
  /** The tokens of the bare question. */
  readonly prompt: readonly number[];
  /** Tells the copies of a question that stands twice in one batch apart. */
  readonly occurrence: number;
  readonly initial: readonly InitialResponse[];
  readonly refinements: readonly Refinement[];
  /** Where `group.expert` asks for it. */
  readonly expert: ExpertSolution | null;
}

/** `count` responses to a prompt, wanted for a question. */
export interface ResponseRequest {
  readonly question: Question;
  readonly prompt: readonly number[];
  readonly count: number;
  readonly maxTokens: number;
  readonly seed: number;
}

/** Samples and scores: the finished responses of each request, in the order of their sample index. */
export async function drawResponses(requests: readonly ResponseRequest[], phase: Phase, context: RolloutContext) {
  const { codec, score, stopwatch, signal } = context;
  const sampled = await stopwatch.time(phase, () => sampleAll(requests, context));
  const finish = async ({ requestIndex, tokens, logprobs, stopReason, policyVersion }: SampledSequence) => {
    const { question, prompt: samplingPrompt } = requests[requestIndex]!;
    const text = codec.decode(tokens);
    const reward = await score(question, { text, tokens, stopReason });
    return { samplingPrompt, tokens, logprobs, text, stopReason, policyVersion, reward };
  };
  return stopwatch.time("reward", async () => {
    const finished = await mapConcurrent(sampled.flat(), REWARDS_IN_FLIGHT, finish, signal);
    return sampled.map((sequences) => finished.splice(0, sequences.length));
  });
}

/** The seed of a draw: it depends on the run, the step, the question, the phase and the response, and on nothing else. */
export function seedOf(rollout: QuestionRollout, { config, step }: RolloutContext, phase: string, index = 0): number {
  return deriveSeed(config.seed, step, rollout.question.id, rollout.occurrence, phase, index);
}

async function sampleAll(requests: readonly ResponseRequest[], context: RolloutContext): Promise<SampledSequence[][]> {
  const { policy, codec, signal } = context;
  const { temperature, topK, topP } = context.config.sampling;
  const sequences: SampledSequence[][] = requests.map(() => []);
  if (requests.length === 0) return sequences;
  const sampleRequests = requests.map(
    ({ prompt, count, maxTokens, seed }): SampleRequest => ({
      ...{ prompt, count, maxTokens, seed, temperature, topK, topP },
      stopTokens: codec.stopTokens,
    }),
  );
  for await (const sequence of policy.sample(sampleRequests, { ...(signal && { signal }), rollout: true })) {
    sequences[sequence.requestIndex]!.push(sequence);
  }
  for (const [i, list] of sequences.entries()) {
    const wanted = requests[i]!.count;
    if (list.length !== wanted) throw new Error(`The engine returned ${list.length} of ${wanted} samples of a request`);
    list.sort((a, b) => a.sampleIndex - b.sampleIndex);
  }
  return sequences;
}
