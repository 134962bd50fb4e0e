/**
 * The task "operations": a word asks for something to be done with four digits, `tv5821:`. A response names an operation
 * and gives what comes out, `r=1285` (reverse). The reward looks at the digits alone. Every word has one right operation,
 * and no two operations give the same digits, so that a response is right exactly if the plan was.
 */
import type { Random } from "example-carry-addition/random";

export type Digits = readonly number[];

/** What can be done with the digits, by the letter that names it. */
export const OPERATIONS = {
  r: ([a, b, c, d]) => [d!, c!, b!, a!],
  h: ([a, b, c, d]) => [c!, d!, a!, b!],
  s: ([a, b, c, d]) => [b!, a!, d!, c!],
  l: ([a, b, c, d]) => [b!, c!, d!, a!],
  i: (digits) => digits.map((digit) => (digit + 1) % 10),
  c: (digits) => digits.map((digit) => 9 - digit),
} as const satisfies Record<string, (digits: Digits) => Digits>;

export type Operation = keyof typeof OPERATIONS;
export const OPERATION_NAMES = Object.keys(OPERATIONS) as readonly Operation[];

/** Words are two of these letters. */
export const WORD_LETTERS = "tuvwxy";
export const WORDS: readonly string[] = [...WORD_LETTERS].flatMap((first) =>
  [...WORD_LETTERS].map((second) => first + second),
);

/** Longest response in tokens: operation, `=`, four digits, end token. */
export const RESPONSE_TOKENS = 7;

export interface Question {
  readonly word: string;
  readonly digits: Digits;
}

export interface ParsedResponse {
  readonly operation: Operation;
  /** As written after `=`. */
  readonly result: string;
}

export function formatQuestion({ word, digits }: Question): string {
  return `${word}${digits.join("")}:`;
}

/** @throws Error if the text is no question of this task. */
export function parseQuestion(text: string): Question {
  const match = /^([t-y]{2})(\d{4}):$/.exec(text);
  if (!match) throw new Error(`"${text}" is no question of this task; it should look like tv5821:`);
  return { word: match[1]!, digits: [...match[2]!].map(Number) };
}

/** What comes out of an operation. */
export function apply(operation: Operation, digits: Digits): string {
  return OPERATIONS[operation](digits).join("");
}

/** `r=1285` */
export function formatResponse(operation: Operation, digits: Digits): string {
  return `${operation}=${apply(operation, digits)}`;
}

/** Null for a response that is not an operation, `=` and four digits. */
export function parseResponse(text: string): ParsedResponse | null {
  const match = /^([a-z])=(\d{4})$/.exec(text);
  if (!match || !Object.hasOwn(OPERATIONS, match[1]!)) return null;
  return { operation: match[1] as Operation, result: match[2]! };
}

/** The operation that turns the digits of a question into the answer. @throws Error if none does. */
export function operationOf(question: string, answer: string): Operation {
  const { digits } = parseQuestion(question);
  const found = OPERATION_NAMES.find((operation) => apply(operation, digits) === answer);
  if (found === undefined) throw new Error(`no operation turns "${question}" into "${answer}"`);
  return found;
}

/** Digits from which every operation gives another result. */
export function drawDigits(random: Random): Digits {
  for (;;) {
    const digits = Array.from({ length: 4 }, () => random.integer(10));
    const results = new Set(OPERATION_NAMES.map((operation) => apply(operation, digits)));
    if (results.size === OPERATION_NAMES.length) return digits;
  }
}
