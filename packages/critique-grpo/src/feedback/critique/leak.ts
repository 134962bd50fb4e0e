/** Whether a critique gives the answer away. */
import { type Answer, compareAnswers, parseAnswer } from "@critique-grpo/math-verify";

/** Mathematics in a text: boxes, spans between delimiters, numbers. Bounded pieces, so each search is linear. */
const BOXED = /\\boxed\{((?:[^{}]|\{[^{}]{0,80}\}){1,120})\}/g;
const SPANS = /\$([^$\n]{1,120})\$|\\\(([^\n]{1,120}?)\\\)|\\\[([^\n]{1,120}?)\\\]/g;
const NUMBERS = /(?<![\w.])[-+−]?\d[\d,]{0,30}(?:\.\d{1,30})?(?:\/\d{1,30})?(?![\w])/g;
const MAX_CANDIDATES = 200;
const MAX_GOLD_CHARACTERS = 200;

/**
 * Whether the critique states the gold answer where question and response do not: as the same words, or as mathematics
 * that is equal to it (0.5 and \frac{1}{2}). A heuristic: an intermediate result that happens to equal the answer counts.
 */
export function statesGold(gold: string, critique: string, known: readonly string[]): boolean {
  const wanted = plainWords(gold);
  if (wanted === "" || gold.length > MAX_GOLD_CHARACTERS) return false;
  const answer = parseAnswer(gold);
  const states = (text: string) => saysWords(text, wanted) || (answer.node !== null && hasEqual(text, answer));
  return states(critique) && !known.some(states);
}

function saysWords(text: string, wanted: string): boolean {
  return ` ${plainWords(text)} `.includes(` ${wanted} `);
}

/** Letters, digits and what makes numbers of them, in lower case and one space apart. */
function plainWords(text: string): string {
  return text
    .toLowerCase()
    .replace(/[^\p{L}\p{N}./+−-]+/gu, " ")
    .replace(/\.(?=\s|$)/g, "")
    .trim();
}

function hasEqual(text: string, gold: Answer): boolean {
  return candidates(text).some((candidate) => compareAnswers(gold, parseAnswer(candidate)).correct);
}

function candidates(text: string): string[] {
  const found = new Set<string>();
  const add = (candidate: string | undefined) => {
    if (candidate === undefined || found.size >= MAX_CANDIDATES) return;
    found.add(candidate.trim());
    // What an equation ends in is stated as well.
    const equals = candidate.lastIndexOf("=");
    if (equals >= 0) found.add(candidate.slice(equals + 1).trim());
  };
  for (const [, content] of text.matchAll(BOXED)) add(content);
  for (const [, dollars, round, square] of text.matchAll(SPANS)) add(dollars ?? round ?? square);
  for (const [number] of text.matchAll(NUMBERS)) add(number);
  return [...found];
}
