import { fromInteger, type Rational } from "../evaluate/rational.js";
import { parseAngle, parseBars, parseBegin, parseBraces, parseBrackets, parseSetBraces } from "./brackets.js";
import type { Cursor } from "./cursor.js";
import { parseFraction, parseFunction, parseLimit, parseMacroArgument, parseSeries } from "./macros.js";
import type { Node } from "./nodes.js";
import { TYPEFACES } from "./vocabulary.js";

const OPENING = new Set(["(", "[", "{", "\\{", "|(", "<(", "floor(", "ceil("]);
const PRIMARY_COMMANDS = new Set(
  "frac dfrac tfrac cfrac sqrt binom dbinom tbinom sum prod int lim emptyset angle triangle measuredangle operatorname".split(
    " ",
  ),
);

/** Whether the current token may begin a factor of an implied product. */
export function startsPrimary(cursor: Cursor): boolean {
  const token = cursor.peek();
  if (token === undefined) return false;
  switch (token.type) {
    case "number":
    case "letter":
    case "constant":
    case "function":
    case "text":
    case "unit":
    case "begin":
      return true;
    case "command":
      return PRIMARY_COMMANDS.has(token.text) || TYPEFACES.has(token.text) || token.text.startsWith("set:");
    case "mark":
      return OPENING.has(token.text) || (token.text === "|" && cursor.openBars === 0 && !cursor.insideSet);
    default:
      return false;
  }
}

const NAMED_SETS = /^set:/;

export function parsePrimary(cursor: Cursor): Node {
  return cursor.nested(parsePrimaryInner);
}

function parsePrimaryInner(cursor: Cursor): Node {
  const token = cursor.next();
  switch (token.type) {
    case "number":
      return parseNumber(cursor, token.value, token.decimal, token.text);
    case "letter":
      return parseLetter(cursor, token.text);
    case "constant":
      if (cursor.isMark("_")) return parseLetter(cursor, token.text);
      return { kind: "constant", name: token.text };
    case "function":
      return parseFunction(cursor, token.text);
    case "text":
    case "unit":
      return parseTextName(cursor, token.text);
    case "begin":
      return parseBegin(cursor, token.text);
    case "command":
      return parseCommand(cursor, token.text);
    case "mark":
      return parseMark(cursor, token.text);
    case "relation":
    case "end":
      cursor.position--;
      throw cursor.failure(`unexpected ${token.text}`);
    default:
      return token satisfies never;
  }
}

function parseMark(cursor: Cursor, text: string): Node {
  switch (text) {
    case "(":
      return parseBrackets(cursor, "(");
    case "[":
      return parseBrackets(cursor, "[");
    case "]":
      return parseBrackets(cursor, "]");
    case "{":
      return parseBraces(cursor);
    case "\\{":
      return parseSetBraces(cursor);
    case "<(":
      return parseAngle(cursor);
    case "|(":
    case "|":
      return parseBars(cursor, text);
    case "floor(":
    case "ceil(": {
      const name = text === "floor(" ? "floor" : "ceil";
      const inner = parseMacroBody(cursor);
      cursor.expect(`)${name}`);
      return { kind: "call", name, args: [inner] };
    }
    default:
      cursor.position--;
      throw cursor.failure(`unexpected ${text}`);
  }
}

function parseMacroBody(cursor: Cursor): Node {
  const bars = cursor.openBars;
  cursor.openBars = 0;
  const inner = parseInner(cursor);
  cursor.openBars = bars;
  return inner;
}

let parseInner: (cursor: Cursor) => Node = () => {
  throw new Error("parser not initialised");
};

/** The grammar is recursive across files; the sum rule is handed in here. */
export function setInnerRule(rule: (cursor: Cursor) => Node): void {
  parseInner = rule;
}

function parseNumber(cursor: Cursor, value: Rational, decimal: boolean, text: string): Node {
  if (cursor.isMark("_")) {
    const based = parseBase(cursor, text);
    if (based !== null) return based;
  }
  return { kind: "number", value, decimal, text };
}

/** `204_5`: digits in a written base. The value is kept, so 204_5 = 54 and 204_5 ≠ 204_7. */
function parseBase(cursor: Cursor, digits: string): Node | null {
  const braced = cursor.isMark("{", 1);
  const token = cursor.peek(braced ? 2 : 1);
  let base = token?.type === "number" && /^\d{1,2}$/.test(token.text) ? Number(token.text) : 0;
  let length = braced ? 4 : 2;
  if (token?.type === "text") {
    base = { two: 2, three: 3, four: 4, five: 5, six: 6, seven: 7, eight: 8, nine: 9, ten: 10 }[token.text] ?? 0;
  }
  if (base < 2 || base > 36 || (braced && !cursor.isMark("}", 3))) {
    if (token?.type === "text" && braced && cursor.isMark("}", 3)) {
      length = 4;
      cursor.position += length;
      return null;
    }
    return null;
  }
  const plain = digits.replace(/[^\d]/g, "");
  let value = 0n;
  for (const digit of plain) {
    if (Number(digit) >= base) return null;
    value = value * BigInt(base) + BigInt(digit);
  }
  cursor.position += length;
  return { kind: "number", value: fromInteger(value), decimal: false, text: `${plain}_${base}` };
}

const APPLIED_LETTERS = new Set(["f", "g", "h", "F", "G", "H"]);

/** A letter with its primes and subscripts, or a function application. */
function parseLetter(cursor: Cursor, letter: string): Node {
  let name = letter;
  let index: Node | null = null;
  for (;;) {
    if (cursor.isMark("_")) {
      cursor.next();
      const subscript = parseMacroArgument(cursor, true);
      const written = subscriptName(subscript);
      if (written === null) index = subscript;
      else name += `_${written}`;
    } else if (cursor.accept("'")) name += "'";
    else if (isPrimePower(cursor)) {
      cursor.position += cursor.isMark("{", 1) ? closingLength(cursor) : 2;
      name += "'";
    } else break;
  }
  if (index !== null) return { kind: "apply", name: `${name}_`, args: [index] };
  if (cursor.isMark("(") && isApplication(cursor, letter)) {
    cursor.next();
    const bracket = parseBrackets(cursor, "(");
    return { kind: "apply", name, args: bracket.kind === "tuple" ? bracket.items : [bracket] };
  }
  return { kind: "symbol", name };
}

function isPrimePower(cursor: Cursor): boolean {
  if (!cursor.isMark("^")) return false;
  const braced = cursor.isMark("{", 1);
  const token = cursor.peek(braced ? 2 : 1);
  return (token?.type === "letter" && token.text === "prime") || (token?.type === "mark" && token.text === "'");
}

function closingLength(cursor: Cursor): number {
  const close = cursor.closingBrace(cursor.position + 1);
  if (close < 0) throw cursor.failure("unclosed brace");
  return close + 1 - cursor.position;
}

/** f(…) is always a function; another letter only before a lone number or letter: x(t), I(0), not n(n+1). */
function isApplication(cursor: Cursor, letter: string): boolean {
  if (APPLIED_LETTERS.has(letter)) return true;
  const argument = cursor.peek(1);
  if (argument === undefined || !cursor.isMark(")", 2)) return false;
  return argument.type === "number" || (argument.type === "letter" && argument.text !== letter);
}

/** A subscript that is part of a name, or null when it is an expression to evaluate (F_{n-1}). */
function subscriptName(node: Node): string | null {
  switch (node.kind) {
    case "number":
      return node.text;
    case "symbol":
    case "constant":
      return node.name === "max" || node.name.length > 0 ? node.name : null;
    case "text":
      return node.value;
    case "multiply":
    case "list": {
      const parts = (node.kind === "multiply" ? node.factors : node.items).map(subscriptName);
      return parts.every((part) => part !== null) ? parts.join("") : null;
    }
    default:
      return null;
  }
}

function parseTextName(cursor: Cursor, text: string): Node {
  if (/^[a-zA-Z]$/.test(text)) {
    if ((text === "e" || text === "i") && !cursor.isMark("_")) return { kind: "constant", name: text };
    return parseLetter(cursor, text);
  }
  if (/^-?\d+(?:\.\d+)?$/.test(text)) {
    const [integer, fraction = ""] = text.replace("-", "").split(".");
    const scaled = BigInt(`${integer}${fraction}`);
    const value: Rational = fraction === "" ? fromInteger(scaled) : reduce(scaled, fraction.length);
    const node: Node = { kind: "number", value, decimal: fraction !== "", text };
    return text.startsWith("-") ? { kind: "negate", argument: node } : node;
  }
  if (cursor.isMark("_") || cursor.isMark("'")) return parseLetter(cursor, text);
  return { kind: "text", value: text };
}

function reduce(scaled: bigint, digits: number): Rational {
  let numerator = scaled;
  let denominator = 10n ** BigInt(digits);
  for (const prime of [2n, 5n]) {
    while (numerator % prime === 0n && denominator % prime === 0n) {
      numerator /= prime;
      denominator /= prime;
    }
  }
  return { numerator, denominator };
}

function parseCommand(cursor: Cursor, name: string): Node {
  if (NAMED_SETS.test(name)) return { kind: "namedSet", name: name.slice(4) };
  if (TYPEFACES.has(name)) return parseTypeface(cursor, name);
  switch (name) {
    case "frac":
    case "dfrac":
    case "tfrac":
    case "cfrac":
      return parseFraction(cursor);
    case "sqrt": {
      if (cursor.isMark("[")) {
        cursor.next();
        const degree = parseInner(cursor);
        cursor.expect("]");
        return { kind: "call", name: "root", args: [parseMacroArgument(cursor), degree] };
      }
      return { kind: "call", name: "sqrt", args: [parseMacroArgument(cursor)] };
    }
    case "binom":
    case "dbinom":
    case "tbinom":
      return { kind: "call", name: "binomial", args: [parseMacroArgument(cursor), parseMacroArgument(cursor)] };
    case "sum":
    case "prod":
    case "int":
      return parseSeries(cursor, name === "prod" ? "product" : name === "sum" ? "sum" : "integral");
    case "lim":
      return parseLimit(cursor);
    case "emptyset":
      return { kind: "set", items: [] };
    case "angle":
    case "measuredangle":
    case "triangle": {
      const named = parseInner(cursor);
      return { kind: "apply", name, args: [named] };
    }
    default:
      cursor.position--;
      throw cursor.failure(`unexpected \\${name}`);
  }
}

/** Letters under an accent keep it in their name; a typeface or frame alone changes nothing. */
function parseTypeface(cursor: Cursor, name: string): Node {
  const argument = parseMacroArgument(cursor);
  if (argument.kind === "symbol" || argument.kind === "constant") {
    const isBasis = argument.name === "i" || argument.name === "j" || argument.name === "k";
    const isAccent =
      name === "dot" || name === "ddot" || name.includes("tilde") || name === "bar" || name === "overline";
    if (isBasis && !isAccent) return { kind: "symbol", name: `vec ${argument.name}` };
    if (isAccent) return parseLetter(cursor, `${name} ${argument.name}`);
    if (argument.kind === "symbol") return parseLetter(cursor, argument.name);
  }
  if (name === "overline" && argument.kind === "multiply") {
    const names = argument.factors.map((factor) =>
      factor.kind === "symbol" ? factor.name : factor.kind === "number" ? factor.text : "?",
    );
    return { kind: "symbol", name: `overline ${names.join("")}` };
  }
  return argument;
}
