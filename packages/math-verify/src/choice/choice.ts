import { lastBoxes } from "../extract/environments.js";
import type { Outcome, Verdict } from "../verify.js";
import { verify } from "../verify.js";

export interface ChoiceOptions {
  /** Letters that may be chosen, in order. Default "ABCD" (GPQA); MMLU-Pro has "ABCDEFGHIJ". */
  readonly letters?: string;
  /** Texts of the options in the order of the letters; a response that states one of them chooses it. */
  readonly choices?: readonly string[];
}

/** Letters of GPQA and of MMLU-Pro. */
export const GPQA_LETTERS = "ABCD";
export const MMLU_PRO_LETTERS = "ABCDEFGHIJ";

/** Only the end of a very long response is searched. */
const MAX_RESPONSE = 200_000;

/**
 * The letter a response chooses, or null. In order: the last box, the last "answer is X" or "Answer: X",
 * a letter standing alone on the last line, and the last letter in parentheses or bold.
 */
export function extractChoice(response: string, options: ChoiceOptions = {}): string | null {
  const letters = options.letters ?? GPQA_LETTERS;
  if (!/^[A-Z]{2,26}$/.test(letters))
    throw new RangeError(`math-verify: letters must be 2 to 26 capitals, got ${JSON.stringify(letters)}`);
  const text = response.slice(-MAX_RESPONSE);
  const box = lastBoxes(text).at(-1);
  if (box !== undefined) {
    const boxed = letterOf(box.content, letters) ?? choiceByText(box.content, letters, options.choices);
    if (boxed !== null) return boxed;
  }
  const anchored = afterAnswer(text, letters, options.choices);
  if (anchored !== null) return anchored;
  const lines = text.trimEnd().split("\n");
  const lastLine = lines.at(-1)?.trim() ?? "";
  return letterOf(lastLine, letters) ?? lastMarked(text, letters) ?? choiceByText(lastLine, letters, options.choices);
}

/** The letter an answer consists of or begins with: "B", "(B)", "**B)** 10 eV", "\text{(B)}", "option B". */
function letterOf(answer: string, letters: string): string | null {
  const plain = answer
    .replace(/\\(?:text|textbf|mathrm|mathbf|boldsymbol|textit|mathit|bf|rm)\b/g, "")
    .replace(/[{}$*_`"'\\]/g, " ")
    .replace(/^\s*(?:the\s+)?(?:correct\s+)?(?:answer|option|choice)?\s*(?:is)?\s*:?\s*/i, "")
    .trim();
  const match = new RegExp(`^[([]?\\s*([${letters}])\\s*(?:[)\\].:,]|$|\\s*[-–—]\\s)`).exec(plain);
  if (match !== null) return match[1]!;
  return plain.length === 1 && letters.includes(plain.toUpperCase()) ? plain.toUpperCase() : null;
}

function afterAnswer(text: string, letters: string, choices: readonly string[] | undefined): string | null {
  const anchor =
    /\b(?:answer|choice|option)\b(?:\s+(?:to|for)\s+[^.\n]{0,80}?)?(?:\s+(?:is|would be|must be|should be))?\s*(?::|\bis\b)?\s*/gi;
  let found: string | null = null;
  for (const match of text.matchAll(anchor)) {
    const at = match.index + match[0].length;
    const rest = text.slice(at, at + 200).split("\n", 1)[0]!;
    // "option A": the word itself names the letter; "answer" needs "is" or a colon before a bare one.
    const letter = new RegExp(
      `^[\\s*_$]*(?:\\\\(?:text|textbf|mathrm|mathbf|boxed)\\s*\\{)*\\s*[([]?\\s*(?:(?:option|choice)\\s+)?[([]?([${letters}])(?![a-zA-Z'’])`,
    ).exec(rest)?.[1];
    if (letter !== undefined && !/^\s*A\s+[a-z]/.test(rest)) found = letter;
    else if (/[:s]\s*$/i.test(match[0])) found = choiceByText(rest.replace(/[.*\s]+$/, ""), letters, choices) ?? found;
  }
  return found;
}

function lastMarked(text: string, letters: string): string | null {
  let found: string | null = null;
  const marked = new RegExp(`\\(([${letters}])\\)|\\*\\*\\(?([${letters}])\\)?[.:)]?\\*\\*`, "g");
  for (const match of text.matchAll(marked)) found = match[1] ?? match[2] ?? null;
  return found;
}

function choiceByText(answer: string, letters: string, choices: readonly string[] | undefined): string | null {
  if (choices === undefined || answer === "" || answer.length > 400) return null;
  const equal = choices.flatMap((choice, index) =>
    sameWords(choice, answer) || verify(choice, answer).correct ? [letters[index]!] : [],
  );
  return equal.length === 1 ? equal[0]! : null;
}

function sameWords(a: string, b: string): boolean {
  const plain = (text: string): string => text.toLowerCase().replace(/[^\p{L}\p{N}+\-/^]+/gu, "");
  return plain(a) !== "" && plain(a) === plain(b);
}

/**
 * Grades a multiple-choice response against the gold letter (or, with `choices`, the text of the gold
 * option). Unverifiable when the gold is neither.
 */
export function gradeChoice(gold: string, response: string, options: ChoiceOptions = {}): Verdict {
  const letters = options.letters ?? GPQA_LETTERS;
  const expected = letterOf(gold, letters) ?? choiceByText(gold, letters, options.choices);
  const prediction = extractChoice(response, options);
  const verdict = (outcome: Outcome, reason: string): Verdict => ({
    correct: outcome === "correct",
    outcome,
    reason,
    gold: expected,
    prediction,
  });
  if (expected === null)
    return verdict("unverifiable", `the gold answer ${JSON.stringify(gold)} is none of ${letters}`);
  if (prediction === null) return verdict("incorrect", "no choice found in the response");
  return prediction === expected ? verdict("correct", "same choice") : verdict("incorrect", "another choice");
}

/** Grades a GPQA response: letters A to D. */
export function gradeGpqa(gold: string, response: string, choices?: readonly string[]): Verdict {
  return gradeChoice(gold, response, { letters: GPQA_LETTERS, ...(choices === undefined ? {} : { choices }) });
}

/** Grades an MMLU-Pro response: letters A to J. */
export function gradeMmluPro(gold: string, response: string, choices?: readonly string[]): Verdict {
  return gradeChoice(gold, response, { letters: MMLU_PRO_LETTERS, ...(choices === undefined ? {} : { choices }) });
}
