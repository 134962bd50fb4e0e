/**
 * The questions of stages 1 and 2: verl's prompts, each answered up to some token; what comes next? Starting from the middle
 * of a right answer is reverse curriculum learning (Xi et al. 2024, arXiv 2402.05808).
 */
import { END, expectedAnswer, SEPARATOR } from "./task.js";

export interface NextToken {
  /** The prompt, the separator that verl's template puts behind it, and the answer so far. */
  readonly prompt: string;
  /** One character. */
  readonly answer: string;
}

/** The next numbers from the third on: their place relative to the two numbers they depend on is always the same. */
export function nextNumbers(prompts: readonly string[]): NextToken[] {
  return nextTokens(prompts).filter(({ answer, position }) => isNumber(answer) && position >= 2);
}

/**
 * Every kind of next token in a mixture in which none is drowned: first numbers and ends twice, for they are the hardest;
 * of the many commas every second, of numbers that stage 1 has taught every third.
 */
export function balancedNextTokens(prompts: readonly string[]): NextToken[] {
  let commas = 0;
  let known = 0;
  return nextTokens(prompts).flatMap((question) => {
    const { answer, position } = question;
    const hard = answer === END || (isNumber(answer) && position === 0);
    if (hard) return [question, question];
    if (answer === ",") return commas++ % 2 === 0 ? [question] : [];
    return position < 3 || known++ % 3 === 0 ? [question] : [];
  });
}

/** All distinct ones, in the order of the prompts; `position` counts the numbers before. */
function nextTokens(prompts: readonly string[]): (NextToken & { readonly position: number })[] {
  const questions = new Map<string, NextToken & { readonly position: number }>();
  for (const prompt of prompts) {
    const answer = expectedAnswer(prompt) + END;
    for (const [index, character] of [...answer].entries()) {
      const soFar = `${prompt}${SEPARATOR}${answer.slice(0, index)}`;
      questions.set(soFar, { prompt: soFar, answer: character, position: Math.floor(index / 2) });
    }
  }
  return [...questions.values()];
}

function isNumber(character: string): boolean {
  return /\d/.test(character);
}
