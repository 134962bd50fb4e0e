import { groupEnd } from "../parse/token.js";

/** A stretch of mathematics in a text: where it stands and what it says. */
export interface Span {
  readonly start: number;
  readonly end: number;
  /** Contents of one or more connected environments. */
  readonly contents: readonly string[];
  /** For each content, whether a percent sign or word follows it. */
  readonly percent: readonly boolean[];
}

interface Environment {
  readonly start: number;
  readonly end: number;
  readonly content: string;
}

const PERCENT = /\s*(?:\\?%|[Pp]ercent(?:age)?|[Pp]ct)/y;
const FRACTION = /-?\\[dtc]?frac\{-?\d+(?:[.,]\d+)?\}\{-?\d+(?:[.,]\d+)?\}/y;
const CONNECTIVE = /\s*(?:,?\s*and|,?\s*or|,)\s*/y;
const DISPLAY_ENVIRONMENT = /\\begin\{(equation|align|gather|multline|displaymath|math|eqnarray)(\*?)\}/y;
const MAX_CONNECTED = 6;
/** Longest inline formula, in characters; a dollar further on belongs to something else. */
const MAX_INLINE = 4000;

/** All LaTeX environments of a text, connected ones ("$1$ and $2$") as one span. Linear. */
export function findEnvironments(text: string): Span[] {
  const environments = scan(text);
  const spans: Span[] = [];
  for (let index = 0; index < environments.length; ) {
    const first = environments[index]!;
    const contents = [first.content];
    const percent: boolean[] = [];
    let end = afterPercent(text, first.end, percent);
    index++;
    while (index < environments.length && continues(text, contents.at(-1)!, end, environments[index]!)) {
      contents[contents.length - 1] += environments[index]!.content;
      end = environments[index]!.end;
      index++;
    }
    while (index < environments.length && contents.length < MAX_CONNECTED) {
      CONNECTIVE.lastIndex = end;
      const match = CONNECTIVE.exec(text);
      const next = environments[index]!;
      if (match === null || end + match[0].length !== next.start) break;
      contents.push(next.content);
      end = afterPercent(text, next.end, percent);
      index++;
    }
    spans.push({ start: first.start, end, contents, percent });
  }
  return spans;
}

/** A formula broken over two environments: "$x +$ $y$". */
function continues(text: string, content: string, end: number, next: Environment): boolean {
  return next.start - end < 4 && /[+\-=]\s*$/.test(content) && text.slice(end, next.start).trim() === "";
}

/** The position after a percent sign or word, if one follows. */
export function afterPercent(text: string, end: number, percent: boolean[]): number {
  PERCENT.lastIndex = end;
  const match = PERCENT.exec(text);
  percent.push(match !== null);
  return match === null ? end : end + match[0].length;
}

function scan(text: string): Environment[] {
  const found: Environment[] = [];
  let noDouble = false;
  let noBracket = false;
  const parentheses = new Finder(text, "\\)");
  const lines = new Finder(text, "\n");
  const unclosed = new Set<string>();
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 36) {
      if (text.charCodeAt(at + 1) === 36 && !noDouble) {
        const close = text.indexOf("$$", at + 2);
        if (close > at + 2) {
          found.push({ start: at, end: close + 2, content: text.slice(at + 2, close) });
          at = close + 1;
          continue;
        }
        if (close < 0) noDouble = true;
        if (close === at + 2) {
          at += 3;
          continue;
        }
      }
      const previous = text.charCodeAt(at - 1);
      // "100$" is a price, not the start of a formula.
      if (previous >= 48 && previous <= 57) continue;
      const close = inlineEnd(text, at + 1);
      if (close > at + 1) {
        found.push({ start: at, end: close + 1, content: text.slice(at + 1, close) });
        at = close;
      }
    } else if (code === 92) {
      const next = text[at + 1];
      if (next === "[" && !noBracket) {
        const close = text.indexOf("\\]", at + 2);
        if (close < 0) noBracket = true;
        else {
          found.push({ start: at, end: close + 2, content: text.slice(at + 2, close) });
          at = close + 1;
          continue;
        }
      } else if (next === "(") {
        const close = parentheses.next(at + 2);
        if (close > at + 2 && close < lines.next(at + 2) && close - at < MAX_INLINE) {
          found.push({ start: at, end: close + 2, content: text.slice(at + 2, close) });
          at = close + 1;
          continue;
        }
      } else if (next === "b") {
        DISPLAY_ENVIRONMENT.lastIndex = at;
        const match = DISPLAY_ENVIRONMENT.exec(text);
        const closing = match === null ? "" : `\\end{${match[1]}${match[2]}}`;
        const isOpen = match !== null && !unclosed.has(closing);
        const close = isOpen ? text.indexOf(closing, at) - at : -1;
        if (isOpen && close < 0) unclosed.add(closing);
        if (match !== null && close > 0 && close < MAX_INLINE) {
          found.push({
            start: at,
            end: at + close + closing.length,
            content: text.slice(at + match[0].length, at + close),
          });
          at += close + closing.length - 1;
          continue;
        }
      }
      const fraction = next === "f" || next === "d" || next === "t" || next === "c" ? plainFraction(text, at) : null;
      if (fraction !== null) {
        found.push(fraction);
        at = fraction.end - 1;
      } else at++;
    } else if (code === 91 && isSpace(text, at - 1)) {
      const bracket = spacedBracket(text, at);
      if (bracket !== null) {
        found.push(bracket);
        at = bracket.end - 1;
      }
    }
  }
  return found;
}

function plainFraction(text: string, at: number): Environment | null {
  const start = text[at - 1] === "-" ? at - 1 : at;
  FRACTION.lastIndex = start;
  const match = FRACTION.exec(text);
  return match === null ? null : { start, end: start + match[0].length, content: match[0] };
}

function isSpace(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  return code === 32 || code === 10 || code === 9 || code === 13;
}

/** The dollar that ends an inline formula on the same line, or -1. */
function inlineEnd(text: string, from: number): number {
  const stop = Math.min(text.length, from + MAX_INLINE);
  for (let at = from; at < stop; at++) {
    const code = text.charCodeAt(at);
    if (code === 10) return -1;
    if (code === 92) at++;
    else if (code === 36) return at;
  }
  return -1;
}

/** Repeated searches for one string at rising positions, linear in total. */
class Finder {
  #found = -1;

  constructor(
    private readonly text: string,
    private readonly target: string,
  ) {}

  /** First occurrence at or after `from`; the length of the text where there is none. */
  next(from: number): number {
    if (this.#found < from) {
      const found = this.text.indexOf(this.target, from);
      this.#found = found < 0 ? this.text.length : found;
    }
    return this.#found;
  }
}

/** " [ … ] " on one line, the way stripped display mathematics looks. */
function spacedBracket(text: string, at: number): Environment | null {
  const stop = Math.min(text.length, at + 400);
  for (let close = at + 1; close < stop; close++) {
    const code = text.charCodeAt(close);
    if (code === 10 || code === 91) return null;
    if (code === 93) {
      if (!isSpace(text, close + 1) || close === at + 1) return null;
      return { start: at, end: close + 1, content: text.slice(at + 1, close) };
    }
  }
  return null;
}

/** One `\boxed{…}` or `\fbox{…}`. */
export interface Box {
  readonly start: number;
  readonly end: number;
  readonly content: string;
}

const BOX = /\\(?:boxed|fbox)(?![a-zA-Z])\s*/g;
const MAX_BOXES = 64;
const SEPARATOR = /\b(?:and|or)\b|,|;/;
/** Between two boxes: the second corrects the first and is no further part of the answer. */
const CORRECTION = /\b(?:but|no|not|wait|actually|instead|wrong|incorrect|rather|should|correct(?:ed|ion)?)\b/i;

/**
 * The boxes that make up the final answer: the last one and those connected with it, in reading order.
 * A box that is never closed reaches to the end of its line. With `limit` only text before it counts.
 */
export function lastBoxes(text: string, limit = text.length): Box[] {
  const starts: { at: number; brace: number }[] = [];
  BOX.lastIndex = 0;
  for (let match = BOX.exec(text); match !== null && match.index < limit; match = BOX.exec(text)) {
    starts.push({ at: match.index, brace: match.index + match[0].length });
    if (starts.length > 4 * MAX_BOXES) starts.splice(0, 2 * MAX_BOXES);
  }
  const boxes: Box[] = [];
  for (let index = starts.length - 1; index >= 0 && boxes.length < MAX_BOXES; index--) {
    const box = readBox(text, starts[index]!);
    if (box === null) continue;
    const next = boxes.at(-1);
    if (next !== undefined) {
      // A box inside the previous start, or around the next one, is no neighbour.
      if (box.end > next.start) {
        boxes[boxes.length - 1] = box.content.includes("\\boxed") ? next : box;
        continue;
      }
      if (!areConnected(text, box, next)) break;
      if (box.content === next.content) continue;
    }
    boxes.push(box);
  }
  return boxes.reverse();
}

function areConnected(text: string, box: Box, next: Box): boolean {
  const distance = next.start - box.end;
  if (distance < 10) return true;
  const between = text.slice(box.end, next.start);
  return distance < 70 && box.content !== next.content && SEPARATOR.test(between) && !CORRECTION.test(between);
}

const MAX_BOX_LENGTH = 10_000;

function readBox(text: string, { at, brace }: { at: number; brace: number }): Box | null {
  if (text[brace] !== "{") {
    const content = /^[^\s${}]+/.exec(text.slice(brace, brace + 60))?.[0];
    return content === undefined ? null : { start: at, end: brace + content.length, content };
  }
  const window = text.slice(brace, brace + MAX_BOX_LENGTH);
  const close = groupEnd(window, 0);
  if (close >= 0) return { start: at, end: brace + close + 1, content: window.slice(1, close).trim() };
  const line = window.search(/\n|\$|$/);
  return { start: at, end: brace + line, content: window.slice(1, line).trim() };
}
