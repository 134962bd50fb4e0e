import type { Rational } from "../evaluate/rational.js";
import type { FunctionName, RelationOperator } from "./nodes.js";

export type Token =
  | {
      readonly type: "number";
      readonly text: string;
      readonly value: Rational;
      readonly decimal: boolean;
      readonly at: number;
    }
  | { readonly type: "letter"; readonly text: string; readonly at: number }
  | { readonly type: "constant"; readonly text: "pi" | "e" | "i" | "infinity"; readonly at: number }
  | { readonly type: "function"; readonly text: FunctionName; readonly at: number }
  | { readonly type: "command"; readonly text: string; readonly at: number }
  | { readonly type: "text"; readonly text: string; readonly at: number }
  | { readonly type: "unit"; readonly text: string; readonly at: number }
  | { readonly type: "relation"; readonly text: RelationOperator; readonly at: number }
  | { readonly type: "mark"; readonly text: string; readonly at: number }
  | { readonly type: "begin" | "end"; readonly text: string; readonly at: number };

/** How ambiguous commas and spaces between digits are read. */
export interface TokenOptions {
  /** `1,234` outside brackets is one number; otherwise two. */
  readonly mergeThousands: boolean;
  /** `1,5` is one and a half. */
  readonly decimalComma: boolean;
}

/** Longest text that is tried as one answer, in characters. */
export const MAX_ANSWER_LENGTH = 8192;

export function isDigit(code: number): boolean {
  return code >= 48 && code <= 57;
}

export function isLetter(code: number): boolean {
  return (code >= 97 && code <= 122) || (code >= 65 && code <= 90);
}

/** End of the group whose opening brace stands at `open`, or -1. */
export function groupEnd(text: string, open: number): number {
  let depth = 0;
  for (let at = open; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 92) at++;
    else if (code === 123) depth++;
    else if (code === 125 && --depth === 0) return at;
  }
  return -1;
}

export function pushLetter(tokens: Token[], letter: string, at: number): void {
  if (letter === "e" || letter === "i") tokens.push({ type: "constant", text: letter, at });
  else tokens.push({ type: "letter", text: letter, at });
}

export function endsValue(token: Token | undefined): boolean {
  if (token === undefined) return false;
  if (token.type === "number" || token.type === "constant" || token.type === "unit" || token.type === "letter")
    return true;
  return (
    token.type === "mark" &&
    (token.text === ")" || token.text === "}" || token.text === "]" || token.text === "%" || token.text === "\\}")
  );
}
