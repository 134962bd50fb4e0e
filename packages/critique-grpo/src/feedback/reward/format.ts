/** The `format` reward: does the response have the wanted form? */
import { lastBoxed } from "./exact-match.js";
import { readOptions } from "./options.js";
import type { RewardFunction } from "./reward.js";

const STYLES = ["think", "boxed"] as const;
/** One <think>…</think> block at the start, then something. */
const THINK = /^\s*<think>(?:(?!<\/?think>)[\s\S])*<\/think>(?:(?!<\/?think>)[\s\S])*\S/;

/**
 * 1 if the response has the form, else 0. Options: `style`: "think" (one `<think>…</think>` block first, then text;
 * default) or "boxed" (a balanced `\boxed{…}`); `pattern`: a regular expression to be found in the response instead.
 */
export const format: RewardFunction = ({ text }, options) => {
  const { style, pattern } = readOptions("format", options, {
    style: { type: "enum", values: STYLES, default: "think" },
    pattern: { type: "pattern" },
  });
  if (pattern !== undefined) return pattern.test(text);
  if (style === "boxed") return lastBoxed(text) !== undefined;
  return THINK.test(text) && text.split("<think>").length === 2;
};
