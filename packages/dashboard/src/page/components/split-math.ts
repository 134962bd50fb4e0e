/** Where formulas stand in a text: LaTeX between $, $$, \( \), \[ \], and bare \boxed{}. */

export type TextPart =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "math"; readonly source: string; readonly display: boolean };

const DELIMITERS = [
  { open: "$$", close: "$$", display: true },
  { open: "\\[", close: "\\]", display: true },
  { open: "\\(", close: "\\)", display: false },
  { open: "$", close: "$", display: false },
] as const;

/** Longer ones are no formulas, and typesetting them would hold the page up. */
const MAX_FORMULA_CHARACTERS = 4_000;

export function splitMath(text: string): TextPart[] {
  const parts: TextPart[] = [];
  let plain = "";
  const push = (part: TextPart) => {
    if (plain !== "") parts.push({ kind: "text", text: plain });
    plain = "";
    parts.push(part);
  };
  for (let i = 0; i < text.length; ) {
    const found = formulaAt(text, i);
    if (found === null) {
      plain += text[i++];
      continue;
    }
    push({ kind: "math", source: found.source, display: found.display });
    i = found.end;
  }
  if (plain !== "") parts.push({ kind: "text", text: plain });
  return parts;
}

interface Formula {
  readonly source: string;
  readonly display: boolean;
  readonly end: number;
}

function formulaAt(text: string, start: number): Formula | null {
  const first = text[start];
  if (first !== "$" && first !== "\\") return null;
  if (text.startsWith("\\boxed{", start)) return boxedAt(text, start);
  const delimiter = DELIMITERS.find(({ open }) => text.startsWith(open, start));
  if (delimiter === undefined) return null;
  const { open, close, display } = delimiter;
  const from = start + open.length;
  const to = text.indexOf(close, from);
  if (to < 0 || to === from || to - from > MAX_FORMULA_CHARACTERS) return null;
  const source = text.slice(from, to);
  if (open === "$" && !isInlineFormula(source, text[to + 1])) return null;
  return { source, display, end: to + close.length };
}

/** "$5 and $6" are prices: a formula does not begin or end with a space, spans no line, and no digit follows it. */
function isInlineFormula(source: string, next: string | undefined): boolean {
  return !/^\s|\s$|\n/.test(source) && !(next !== undefined && /\d/.test(next));
}

function boxedAt(text: string, start: number): Formula | null {
  let depth = 0;
  const limit = Math.min(text.length, start + MAX_FORMULA_CHARACTERS);
  for (let i = start + "\\boxed".length; i < limit; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === "{") depth++;
    else if (text[i] === "}" && --depth === 0) {
      return { source: text.slice(start, i + 1), display: false, end: i + 1 };
    }
  }
  return null;
}
