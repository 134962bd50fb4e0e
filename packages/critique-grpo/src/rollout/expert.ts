/** Reference solutions of the data set as responses (LUFFY, arXiv 2504.14945; supervised fine-tuning). */
import type { Question } from "../data/question.js";
import type { TextCodec } from "../policy/policy.js";
import { encodeResponse } from "../text/response.js";
import { mapConcurrent } from "./concurrency.js";
import { type QuestionRollout, REWARDS_IN_FLIGHT, type RolloutContext } from "./sampling.js";

/** Adds the question's solution, scored as every other response, where `group.expert` asks for it. AbortError on abort. */
export async function addExpertSolutions(
  rollouts: readonly QuestionRollout[],
  context: RolloutContext,
): Promise<readonly QuestionRollout[]> {
  const { config, codec, score, stopwatch, signal } = context;
  if (!config.group.expert) return rollouts;
  const add = async (rollout: QuestionRollout): Promise<QuestionRollout> => {
    const { text, tokens } = encodeSolution(codec, rollout.question);
    const reward = await score(rollout.question, { text, tokens, stopReason: "stop" });
    return { ...rollout, expert: { kind: "expert", tokens, text, reward } };
  };
  return stopwatch.time("reward", () => mapConcurrent(rollouts, REWARDS_IN_FLIGHT, add, signal));
}

/** The tokens of a question's solution and its end. Throws Error if there is none or the tokenizer refuses it. */
export function encodeSolution(codec: TextCodec, { id, solution }: Question): { text: string; tokens: number[] } {
  if (solution === undefined || solution === "") throw new Error(`question ${id} has no reference solution`);
  return { text: solution, tokens: encodeResponse(codec, solution) };
}
