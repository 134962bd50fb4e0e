/** The `multiple-choice` reward: did the response choose the gold letter? (GPQA, MMLU-Pro) */
import { extractChoice, gradeChoice } from "@critique-grpo/math-verify";
import { InputError } from "../../config/errors.js";
import type { RewardFunction } from "./reward.js";

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

function lettersOf({ count, ...rest }: Readonly<Record<string, unknown>>): string {
  const unknown = Object.keys(rest)[0];
  if (unknown !== undefined) {
    throw new InputError(`Unknown option "${unknown}" of reward "multiple-choice"; it knows count`);
  }
  const number = count ?? 4;
  if (typeof number !== "number" || !Number.isInteger(number) || number < 2 || number > LETTERS.length) {
    throw new InputError(
      `Option "count" of reward "multiple-choice" is ${JSON.stringify(count)}; it must be a whole number from 2 to 26`,
    );
  }
  return LETTERS.slice(0, number);
}

/**
 * 1 if the response chooses the gold letter, else 0. Option `count`: how many letters there are (4 as in GPQA; MMLU-Pro
 * has 10). A gold answer that is not one of the letters is a failure of the sample.
 */
export const multipleChoice: RewardFunction = ({ question, text }, options) => {
  const letters = lettersOf(options);
  if (text === "") return 0;
  const verdict = gradeChoice(question.gold, text, { letters });
  if (verdict.outcome !== "correct" && verdict.outcome !== "incorrect") {
    throw new Error(`${verdict.outcome}: ${verdict.reason} (gold answer ${JSON.stringify(question.gold)})`);
  }
  return verdict.correct;
};

/** The letter that a response chooses; null if none is found. */
export function readChoice(text: string, options: Readonly<Record<string, unknown>>): string | null {
  return extractChoice(text, { letters: lettersOf(options) });
}

/** Why this gold answer cannot be verified against; null if it can. */
export function unverifiableChoiceGold(gold: string, options: Readonly<Record<string, unknown>>): string | null {
  const letters = lettersOf(options);
  const { outcome, reason } = gradeChoice(gold, "", { letters });
  return outcome === "correct" || outcome === "incorrect" ? null : reason;
}
