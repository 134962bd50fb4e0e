/** The `exact-match` reward: is the answer in the response the gold answer, letter for letter? */

import { readOptions } from "./options.js";
import type { RewardFunction } from "./reward.js";

const SOURCES = ["text", "boxed", "last-line", "last-number"] as const;

/**
 * 1 if the answer equals `question.gold` after trimming, else 0. Options:
 * `answer`: where the answer stands: "text" (the whole response, default), "boxed" (the last balanced `\boxed{…}`),
 * "last-line" (the last line that is not empty) or "last-number";
 * `pattern`: a regular expression instead, whose first group (or whole match) is the answer; the last match counts;
 * `ignoreCase`: default false.
 */
export const exactMatch: RewardFunction = ({ question, text }, options) => {
  const { answer, pattern, ignoreCase } = readOptions("exact-match", options, {
    answer: { type: "enum", values: SOURCES, default: "text" },
    pattern: { type: "pattern" },
    ignoreCase: { type: "boolean", default: false },
  });
  const found =
    pattern === undefined ? extractAnswer(text, answer as (typeof SOURCES)[number]) : lastMatch(text, pattern);
  if (found === undefined) return 0;
  const normalise = (value: string) => (ignoreCase ? value.trim().toLowerCase() : value.trim());
  return normalise(found) === normalise(question.gold) ? 1 : 0;
};

function extractAnswer(text: string, source: (typeof SOURCES)[number]): string | undefined {
  switch (source) {
    case "text":
      return text;
    case "boxed":
      return lastBoxed(text);
    case "last-line":
      return text.trimEnd().split("\n").at(-1);
    case "last-number":
      return lastMatch(text, /-?\d[\d,]*(?:\.\d+)?/)?.replaceAll(",", "");
    default:
      throw new RangeError(`Unknown source ${String(source satisfies never)}`);
  }
}

function lastMatch(text: string, pattern: RegExp): string | undefined {
  const flags = pattern.flags.includes("g") ? pattern.flags : `${pattern.flags}g`;
  let found: string | undefined;
  for (const match of text.matchAll(new RegExp(pattern.source, flags))) found = match[1] ?? match[0];
  return found;
}

/** Content of the last `\boxed{…}` whose braces balance. */
export function lastBoxed(text: string): string | undefined {
  const marker = "\\boxed{";
  for (
    let start = text.lastIndexOf(marker);
    start >= 0;
    start = start === 0 ? -1 : text.lastIndexOf(marker, start - 1)
  ) {
    let depth = 1;
    for (let i = start + marker.length; i < text.length; i++) {
      if (text[i] === "{") depth++;
      else if (text[i] === "}" && --depth === 0) return text.slice(start + marker.length, i);
    }
  }
  return undefined;
}
