import { fromInteger, isInteger } from "../evaluate/rational.js";
import type { Cursor } from "./cursor.js";
import type { Node } from "./nodes.js";
import { parsePrimary, startsPrimary } from "./primary.js";
import { LETTER_UNITS } from "./vocabulary.js";

export const MINUS_ONE: Node = { kind: "number", value: fromInteger(-1), decimal: false, text: "-1" };

/** Sums, differences and ±. */
export function parseSum(cursor: Cursor): Node {
  let result: Node;
  if (cursor.accept("\\pm")) result = { kind: "plusMinus", left: null, right: parseProduct(cursor), sign: 1 };
  else if (cursor.accept("\\mp")) result = { kind: "plusMinus", left: null, right: parseProduct(cursor), sign: -1 };
  else result = parseProduct(cursor);
  let terms: Node[] = [];
  const push = (term: Node): void => {
    if (terms.length === 0) terms.push(result);
    terms.push(term);
  };
  for (;;) {
    if (cursor.accept("+")) push(parseProduct(cursor));
    else if (cursor.accept("-")) push({ kind: "negate", argument: parseProduct(cursor) });
    else if (cursor.isMark("\\pm") || cursor.isMark("\\mp")) {
      const sign = cursor.next().text === "\\pm" ? 1 : -1;
      const left: Node = terms.length === 0 ? result : { kind: "add", terms };
      terms = [];
      result = { kind: "plusMinus", left, right: parseProduct(cursor), sign };
    } else break;
  }
  return terms.length === 0 ? result : { kind: "add", terms };
}

/** Products and quotients, written or implied. */
export function parseProduct(cursor: Cursor): Node {
  return cursor.nested(parseProductInner);
}

function parseProductInner(cursor: Cursor): Node {
  let result = parseSigned(cursor);
  let factors: Node[] | null = null;
  const push = (factor: Node): void => {
    if (factors === null) {
      factors = [result, factor];
      result = { kind: "multiply", factors };
    } else factors.push(factor);
  };
  for (;;) {
    if (cursor.accept("*")) push(parseSigned(cursor));
    else if (cursor.accept("/")) {
      // "60 km/h": the denominator belongs to the unit.
      if (result.kind === "quantity" && startsUnit(cursor)) {
        cursor.next();
        skipUnitPower(cursor);
        continue;
      }
      const denominator = parseSigned(cursor);
      result = { kind: "divide", numerator: result, denominator };
      factors = null;
    } else if (isModulo(cursor)) {
      const modulus = parseModulus(cursor);
      if (modulus !== null) {
        result = { kind: "call", name: "mod", args: [result, modulus] };
        factors = null;
      }
    } else if (endsWithUnit(cursor, result)) {
      result = parseUnits(cursor, result);
      factors = null;
    } else if (startsFactor(cursor)) {
      const mixed = factors === null ? mixedNumber(cursor, result) : null;
      if (mixed !== null) result = mixed;
      else push(parsePostfix(cursor));
    } else return result;
  }
}

/** A factor with leading signs: -x^2 is -(x^2). */
function parseSigned(cursor: Cursor): Node {
  let negative = false;
  for (;;) {
    if (cursor.accept("-")) negative = !negative;
    else if (!cursor.accept("+")) break;
  }
  if (!negative && (cursor.isMark("\\pm") || cursor.isMark("\\mp"))) {
    const sign = cursor.next().text === "\\pm" ? 1 : -1;
    return { kind: "plusMinus", left: null, right: parsePostfix(cursor), sign };
  }
  let factor = parsePostfix(cursor);
  if (!negative) return factor;
  const mixed = mixedNumber(cursor, factor);
  if (mixed !== null) factor = mixed;
  return { kind: "negate", argument: factor };
}

function isModulo(cursor: Cursor): boolean {
  const token = cursor.peek();
  return token?.type === "command" && (token.text === "mod" || token.text === "bmod" || token.text === "pmod");
}

/** The modulus of `a mod m`, or null for the note `(\bmod m)` after a residue, which is dropped. */
function parseModulus(cursor: Cursor): Node | null {
  const token = cursor.next();
  if (token.text === "pmod") {
    parsePrimary(cursor);
    return null;
  }
  return parsePostfix(cursor);
}

/** `3\frac{1}{2}` and `3 1/2`: a whole number followed by a proper fraction of whole numbers. */
function mixedNumber(cursor: Cursor, whole: Node): Node | null {
  if (whole.kind !== "number" || whole.decimal || !isInteger(whole.value)) return null;
  const token = cursor.peek();
  const start = cursor.position;
  let fraction: Node | null = null;
  if (
    token?.type === "command" &&
    (token.text === "frac" || token.text === "dfrac" || token.text === "tfrac" || token.text === "cfrac")
  ) {
    fraction = parsePrimary(cursor);
  } else if (token?.type === "number" && cursor.isMark("/", 1) && cursor.peek(2)?.type === "number") {
    const numerator = parsePrimary(cursor);
    cursor.next();
    fraction = { kind: "divide", numerator, denominator: parsePrimary(cursor) };
  }
  if (
    fraction?.kind === "divide" &&
    fraction.numerator.kind === "number" &&
    fraction.denominator.kind === "number" &&
    isInteger(fraction.numerator.value) &&
    isInteger(fraction.denominator.value) &&
    fraction.numerator.value.numerator < fraction.denominator.value.numerator &&
    !cursor.isMark("^")
  ) {
    return { kind: "add", terms: [whole, fraction] };
  }
  cursor.position = start;
  return null;
}

function startsFactor(cursor: Cursor): boolean {
  return startsPrimary(cursor);
}

function startsUnit(cursor: Cursor): boolean {
  const token = cursor.peek();
  return token?.type === "unit" || token?.type === "text" || (token?.type === "letter" && LETTER_UNITS.has(token.text));
}

/** Whether an upright text or unit follows a value; a lone letter counts only upright and after a number. */
function endsWithUnit(cursor: Cursor, value: Node): boolean {
  const token = cursor.peek();
  if (token === undefined) return false;
  if (token.type === "unit") return true;
  if (token.type !== "text") return false;
  if (token.text.length === 1) return LETTER_UNITS.has(token.text) && isNumeric(value);
  return !/^[A-Z]{1,3}$/.test(token.text) || isNumeric(value);
}

function isNumeric(node: Node): boolean {
  switch (node.kind) {
    case "number":
    case "quantity":
      return true;
    case "negate":
      return isNumeric(node.argument);
    case "divide":
      return isNumeric(node.numerator) && isNumeric(node.denominator);
    case "multiply":
      return node.factors.every(isNumeric);
    case "power":
      return isNumeric(node.base) && isNumeric(node.exponent);
    case "add":
      return node.terms.every(isNumeric);
    case "call":
      return node.args.every(isNumeric);
    case "constant":
      return node.name === "pi";
    default:
      return false;
  }
}

function skipUnitPower(cursor: Cursor): void {
  if (!cursor.accept("^")) return;
  if (cursor.isMark("{")) {
    const close = cursor.closingBrace();
    if (close < 0) throw cursor.failure("unclosed brace");
    cursor.position = close + 1;
  } else {
    cursor.accept("-");
    cursor.next();
  }
}

function parseUnits(cursor: Cursor, value: Node): Node {
  let unit = "";
  for (;;) {
    const token = cursor.peek();
    if (token?.type === "unit" || token?.type === "text") {
      unit += unit === "" ? token.text : ` ${token.text}`;
      cursor.next();
      skipUnitPower(cursor);
    } else if (unit !== "" && (cursor.isMark("/") || cursor.isMark("*")) && isUnitToken(cursor, 1)) {
      unit += cursor.next().text;
    } else break;
  }
  return { kind: "quantity", value, unit };
}

function isUnitToken(cursor: Cursor, offset: number): boolean {
  const token = cursor.peek(offset);
  return token?.type === "unit" || token?.type === "text";
}

/** A primary with its powers, factorials, percent signs, primes and subscripts. */
export function parsePostfix(cursor: Cursor): Node {
  let result = parsePrimary(cursor);
  for (;;) {
    if (cursor.isMark("^")) {
      const power = parsePower(cursor, result);
      if (power === null) return result;
      result = power;
    } else if (cursor.accept("!")) {
      cursor.accept("!");
      result = { kind: "call", name: "factorial", args: [result] };
    } else if (cursor.accept("%")) result = { kind: "percent", argument: result };
    else if (cursor.accept("degrees")) result = { kind: "degrees", argument: result };
    else return result;
  }
}

/** The exponent after `^`; degrees and primes are recognised here. Null when only a mark was consumed. */
function parsePower(cursor: Cursor, base: Node): Node | null {
  const braced = cursor.isMark("{", 1);
  const first = cursor.peek(braced ? 2 : 1);
  if (first?.type === "mark" && first.text === "degrees") {
    cursor.position += braced ? 4 : 2;
    return { kind: "degrees", argument: base };
  }
  cursor.next();
  const exponent = parseExponent(cursor);
  if (exponent.kind === "symbol" && base.kind === "matrix" && /^(?:T|top|intercal|prime)$/.test(exponent.name)) {
    const columns = base.rows[0]?.length ?? 0;
    return {
      kind: "matrix",
      rows: Array.from({ length: columns }, (_, column) => base.rows.map((row) => row[column]!)),
    };
  }
  return { kind: "power", base, exponent };
}

function parseExponent(cursor: Cursor): Node {
  let negative = false;
  while (cursor.isMark("-") || cursor.isMark("+")) if (cursor.next().text === "-") negative = !negative;
  const token = cursor.peek();
  let exponent: Node;
  if (token?.type === "number" || token?.type === "letter" || token?.type === "constant") {
    exponent = parsePrimary(cursor);
    // Towers without braces associate to the right, as in plain text.
    if (cursor.isMark("^")) exponent = cursor.nested((inner) => parsePower(inner, exponent) ?? exponent);
  } else exponent = parsePrimary(cursor);
  return negative ? { kind: "negate", argument: exponent } : exponent;
}
