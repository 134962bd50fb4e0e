import { fromDecimal, type Rational } from "../evaluate/rational.js";
import { isDigit, type TokenOptions } from "./token.js";

const SPACES_AFTER_SEPARATOR = /^(?:\{,\}|\\,|,\\!|\\!|,)\s*/;
const EXPONENT =
  /^(?:[eE]|\\(?:mathrm|text|rm|textrm)\s*\{\s*[eE]\s*\})\s*(?:\{\s*([+-]?\d{1,6})\s*\}|\{\s*([+-])\s*\}\s*(\d{1,6})|([+-]?)\s*(\d{1,6}))(?![\d.]*[a-zA-Z_^])/;

interface NumberMatch {
  readonly text: string;
  readonly end: number;
  readonly value: Rational;
  readonly decimal: boolean;
}

function digitsEnd(text: string, from: number): number {
  let at = from;
  while (isDigit(text.charCodeAt(at))) at++;
  return at;
}

/** End of a run of three-digit groups written after `from`, all with the same separator. */
function groupsEnd(text: string, from: number, plainComma: boolean): { end: number; digits: string } {
  let at = from;
  let digits = "";
  let separator = "";
  for (;;) {
    const next = text[at];
    if (next !== "," && next !== "{" && next !== "\\" && next !== " ") break;
    let mark: string;
    let start: number;
    if (next === " ") {
      mark = " ";
      start = at + 1;
    } else {
      const match = SPACES_AFTER_SEPARATOR.exec(text.slice(at, at + 12));
      if (match === null) break;
      mark = match[0].trim();
      // "32, 349" is a list: a plain comma joins only without a space.
      if (mark === "," && (!plainComma || match[0].length > 1)) break;
      start = at + match[0].length;
    }
    if (separator !== "" && separator !== mark) break;
    const end = digitsEnd(text, start);
    if (end - start !== 3) break;
    separator = mark;
    digits += text.slice(start, end);
    at = end;
  }
  return { end: at, digits };
}

export function scanNumber(
  text: string,
  from: number,
  options: TokenOptions,
  insideBrackets: boolean,
): NumberMatch | null {
  let end = digitsEnd(text, from);
  let integer = text.slice(from, end);
  let fraction = "";
  let decimal = false;
  if (integer.length >= 1 && integer.length <= 3 && integer[0] !== "0") {
    const groups = groupsEnd(text, end, options.mergeThousands && !insideBrackets);
    integer += groups.digits;
    end = groups.end;
  }
  const european =
    !insideBrackets && integer.length <= 3 ? /^((?:\.\d{3})+),(\d+)(?![\d,])/.exec(text.slice(end, end + 40)) : null;
  if (european !== null) {
    integer += european[1]!.replaceAll(".", "");
    fraction = european[2]!;
    end += european[0].length;
    decimal = true;
  } else if (text[end] === "." && isDigit(text.charCodeAt(end + 1))) {
    const stop = digitsEnd(text, end + 1);
    fraction = text.slice(end + 1, stop);
    end = stop;
    decimal = true;
  } else if (text[end] === "." && /^\.\s*[/*+\-^)]/.test(text.slice(end, end + 4))) {
    end++;
  } else if (text.startsWith("{,}", end) && isDigit(text.charCodeAt(end + 3))) {
    const stop = digitsEnd(text, end + 3);
    fraction = text.slice(end + 3, stop);
    end = stop;
    decimal = true;
  } else if (options.decimalComma && !insideBrackets && text[end] === "," && isDigit(text.charCodeAt(end + 1))) {
    const stop = digitsEnd(text, end + 1);
    fraction = text.slice(end + 1, stop);
    end = stop;
    decimal = true;
  }
  let exponent = 0;
  const next = text[end];
  if (next === "e" || next === "E" || next === "\\") {
    const match = EXPONENT.exec(text.slice(end, end + 48));
    if (match !== null) {
      exponent = Number(match[1] ?? `${match[2] ?? match[4] ?? ""}${match[3] ?? match[5] ?? ""}`);
      end += match[0].length;
      decimal = true;
    }
  }
  const value = fromDecimal(integer, fraction, exponent);
  return value === null ? null : { text: text.slice(from, end), end, value, decimal };
}
