/** Stage one of a rollout: initial responses, each with its reward. */
import type { Question } from "../data/question.js";
import { encodePrompt } from "../text/prompt.js";
import { drawResponses, type QuestionRollout, type RolloutContext, seedOf } from "./sampling.js";

/** Samples `algorithm.initialResponses` responses (0: none) to each question and scores them. AbortError on abort. */
export async function sampleInitialResponses(
  questions: readonly Question[],
  context: RolloutContext,
): Promise<readonly QuestionRollout[]> {
  const { algorithm, sampling } = context.config;
  const started = startRollouts(questions, context);
  if (algorithm.initialResponses === 0) return started;
  const requests = started.map((rollout) => ({
    question: rollout.question,
    prompt: rollout.prompt,
    count: algorithm.initialResponses,
    maxTokens: sampling.maxTokens,
    seed: seedOf(rollout, context, "initial"),
  }));
  const responses = await drawResponses(requests, "sample", context);
  return started.map((rollout, i) => ({
    ...rollout,
    initial: responses[i]!.map((response, index) => ({ kind: "initial", index, ...response })),
  }));
}

function startRollouts(questions: readonly Question[], { codec }: RolloutContext): QuestionRollout[] {
  const seen = new Map<string, number>();
  return questions.map((question) => {
    const occurrence = seen.get(question.id) ?? 0;
    seen.set(question.id, occurrence + 1);
    const prompt = encodePrompt(codec, question.prompt);
    return { question, prompt, occurrence, initial: [], refinements: [], expert: null };
  });
}
