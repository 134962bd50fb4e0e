/**
 * The task "operations": a word asks for two things to be done with three digits, `tv582:`. A response names two operations
 * and gives what comes out of each, `rl=285825` (reverse, rotate left). The reward looks at the digits alone. Every word has
 * one right pair of operations, and no two operations give the same digits: a response is right exactly if its plan was.
 */
import type { Random } from "example-carry-addition/random";

export type Digits = readonly number[];

/** What can be done with the digits, by the letter that names it. */
export const OPERATIONS = {
  r: ([a, b, c]) => [c!, b!, a!],
  l: ([a, b, c]) => [b!, c!, a!],
  h: ([a, b, c]) => [c!, a!, b!],
  s: ([a, b, c]) => [b!, a!, c!],
  i: (digits) => digits.map((digit) => (digit + 1) % 10),
  c: (digits) => digits.map((digit) => 9 - digit),
} as const satisfies Record<string, (digits: Digits) => Digits>;

export type Operation = keyof typeof OPERATIONS;
export const OPERATION_NAMES = Object.keys(OPERATIONS) as readonly Operation[];
/** The two operations of a response. */
export type Plan = readonly [Operation, Operation];

/** Words are two of these letters. */
export const WORD_LETTERS = "tuvwxy";
export const WORDS: readonly string[] = [...WORD_LETTERS].flatMap((first) =>
  [...WORD_LETTERS].map((second) => first + second),
);

/** Longest response in tokens: two operations, `=`, two times three digits, end token. */
export const RESPONSE_TOKENS = 10;

export interface Question {
  readonly word: string;
  readonly digits: Digits;
}

export interface ParsedResponse {
  readonly plan: Plan;
  /** As written after `=`. */
  readonly result: string;
}

export function formatQuestion({ word, digits }: Question): string {
  return `${word}${digits.join("")}:`;
}

/** @throws Error if the text is no question of this task. */
export function parseQuestion(text: string): Question {
  const match = /^([t-y]{2})(\d{3}):$/.exec(text);
  if (!match) throw new Error(`"${text}" is no question of this task; it should look like tv582:`);
  return { word: match[1]!, digits: [...match[2]!].map(Number) };
}

/** What comes out of the operations, one after the other. */
export function apply(plan: Plan, digits: Digits): string {
  return plan.map((operation) => OPERATIONS[operation](digits).join("")).join("");
}

/** `rl=285825` */
export function formatResponse(plan: Plan, digits: Digits): string {
  return `${plan.join("")}=${apply(plan, digits)}`;
}

/** Null for a response that is not two operations, `=` and six digits. */
export function parseResponse(text: string): ParsedResponse | null {
  const match = /^([a-z])([a-z])=(\d{6})$/.exec(text);
  if (!match || !isOperation(match[1]!) || !isOperation(match[2]!)) return null;
  return { plan: [match[1], match[2]], result: match[3]! };
}

function isOperation(letter: string): letter is Operation {
  return Object.hasOwn(OPERATIONS, letter);
}

/** The plan that turns the digits of a question into the answer. @throws Error if none does. */
export function planOf(question: string, answer: string): Plan {
  const { digits } = parseQuestion(question);
  const plan = [answer.slice(0, 3), answer.slice(3)].map((result) =>
    OPERATION_NAMES.find((operation) => OPERATIONS[operation](digits).join("") === result),
  );
  if (plan.includes(undefined)) throw new Error(`no operations turn "${question}" into "${answer}"`);
  return plan as unknown as Plan;
}

/** Digits from which every operation gives another result. */
export function drawDigits(random: Random): Digits {
  for (;;) {
    const digits = Array.from({ length: 3 }, () => random.integer(10));
    const results = new Set(OPERATION_NAMES.map((operation) => OPERATIONS[operation](digits).join("")));
    if (results.size === OPERATION_NAMES.length) return digits;
  }
}
