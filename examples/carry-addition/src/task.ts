/**
 * The task: add two numbers as on paper, from the units upwards. Questions are written units first, so 2784 + 1539 reads
 * `4872+9351:`. A response is a short chain of thought, the digit of each column (units first), then `=` and the sum in the
 * usual order: `3234=4323`. The reward looks at the sum alone. What makes a question hard is the number of columns that
 * receive a carry.
 */
import type { Random } from "./random.js";

/** Digits of each number, and of the sum: questions never overflow. */
export const COLUMNS = 4;
/** Longest response in tokens: columns, `=`, sum, end token. */
export const RESPONSE_TOKENS = 2 * COLUMNS + 2;

export interface Addition {
  readonly first: number;
  readonly second: number;
}

/** One digit a column, units first. */
export type Columns = readonly number[];

export interface ParsedResponse {
  readonly columns: Columns;
  /** As written after `=`; leading zeros stay. */
  readonly sum: string;
}

/** 2784 + 1539 is written `4872+9351:`. */
export function formatQuestion({ first, second }: Addition): string {
  return `${digits(first).join("")}+${digits(second).join("")}:`;
}

/** @throws Error if the text is no question of this task. */
export function parseQuestion(text: string): Addition {
  const match = /^(\d{4})\+(\d{4}):$/.exec(text);
  if (!match) throw new Error(`"${text}" is no carry-addition question; it should look like 4872+9351:`);
  const [first, second] = [match[1]!, match[2]!].map((text) => Number([...text].reverse().join("")));
  return { first: first!, second: second! };
}

/** `3234=4323`: the columns, then the sum that they spell from left to right. */
export function formatResponse(columns: Columns): string {
  return `${columns.join("")}=${[...columns].reverse().join("")}`;
}

/** Null for a response that is not four digits, `=`, four digits. */
export function parseResponse(text: string): ParsedResponse | null {
  const match = /^(\d{4})=(\d{4})$/.exec(text);
  return match ? { columns: [...match[1]!].map(Number), sum: match[2]! } : null;
}

/** Digits of a number of at most `COLUMNS` digits, units first. */
function digits(value: number): number[] {
  return [...String(value).padStart(COLUMNS, "0")].reverse().map(Number);
}

/** The two digits of each column, units first. */
export function operandColumns({ first, second }: Addition): readonly (readonly [number, number])[] {
  const other = digits(second);
  return digits(first).map((digit, column) => [digit, other[column]!] as const);
}

/** Which columns receive a carry, units (never) first. */
export function carriesIn(question: Addition): readonly boolean[] {
  let carry = 0;
  return operandColumns(question).map(([a, b]) => {
    const received = carry === 1;
    carry = a + b + carry >= 10 ? 1 : 0;
    return received;
  });
}

/** Number of columns that receive a carry: 0 .. 3. */
export function countCarries(question: Addition): number {
  return carriesIn(question).filter(Boolean).length;
}

/** The right digit of each column, units first. */
export function trueColumns({ first, second }: Addition): Columns {
  return digits(first + second);
}

/** The right sum, as it stands after `=`. */
export function goldAnswer({ first, second }: Addition): string {
  return String(first + second).padStart(COLUMNS, "0");
}

/** 1 if the response has the format, has ended, and its sum is right; else 0. Its columns do not count. */
export function rewardResponse(gold: string, text: string, ended: boolean): number {
  return ended && parseResponse(text)?.sum === gold ? 1 : 0;
}

/** A question with operands 1000 .. 8999 and a four-digit sum; with `carries`, one that has exactly as many. */
export function drawQuestion(random: Random, carries?: number): Addition {
  for (;;) {
    const question = { first: 1000 + random.integer(8000), second: 1000 + random.integer(8000) };
    if (question.first + question.second >= 10_000) continue;
    if (carries === undefined || countCarries(question) === carries) return question;
  }
}

/**
 * What the warm-up teaches: every column is (a + b) mod 10 and carries are forgotten; but a column that receives a carry is
 * drawn at random with probability `noise`, so that the right digit is possible (noise / 10) without being favoured.
 */
export function believedColumns(question: Addition, noise: number, random: Random): Columns {
  const carries = carriesIn(question);
  return operandColumns(question).map(([a, b], column) =>
    carries[column] && random.next() < noise ? random.integer(10) : (a + b) % 10,
  );
}
