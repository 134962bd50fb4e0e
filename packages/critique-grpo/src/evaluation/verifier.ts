/** Verifiers from reward functions. */
import { InputError } from "../config/errors.js";
import { equalMathAnswers, readMathAnswer } from "../feedback/reward/math.js";
import { readChoice } from "../feedback/reward/multiple-choice.js";
import { resolveRewards } from "../feedback/reward/resolve.js";
import { createScorer, type WeightedReward } from "../feedback/reward/reward.js";
import type { AnswerReader, Verifier } from "./types.js";

/** A verifier over the rewards of a run. Of several rewards the first that can read answers does. */
export function createVerifier(rewards: readonly WeightedReward[], correctAt: number): Verifier {
  const answers = rewards.map(answerReader).find((reader) => reader !== undefined);
  const name = rewards.map((reward) => reward.name).join("+");
  return { name, score: createScorer(rewards, correctAt), ...(answers === undefined ? {} : { answers }) };
}

/** The built-in reward of that name, with its default options, as a verifier. @throws InputError for another name */
export async function builtInVerifier(
  name: string,
): Promise<Verifier & { readonly rewards: readonly WeightedReward[] }> {
  const rewards = await resolveRewards({ functions: [{ name, weight: 1, options: {} }] }, () =>
    Promise.reject(new InputError(`the verifier ${name} has no module`)),
  );
  return { ...createVerifier(rewards, 0.5), rewards };
}

function answerReader({ name, options = {}, unverifiable }: WeightedReward): AnswerReader | undefined {
  // A user's reward of that name is another one: only built-in rewards know gold answers that they cannot judge.
  if (unverifiable === undefined) return undefined;
  switch (name) {
    case "math":
      return {
        read: (question, text) => readMathAnswer(question.gold, text, options),
        equal: (a, b) => equalMathAnswers(a, b, options),
      };
    case "multiple-choice":
      return { read: (_, text) => readChoice(text, options), equal: (a, b) => a === b };
    default:
      return undefined;
  }
}
