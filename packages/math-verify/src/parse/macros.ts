import { fromInteger } from "../evaluate/rational.js";
import { parseBrackets } from "./brackets.js";
import type { Cursor } from "./cursor.js";
import { parsePostfix, parseProduct, parseSum } from "./expression.js";
import type { FunctionName, Node } from "./nodes.js";
import { parsePrimary, startsPrimary } from "./primary.js";
import type { Token } from "./token.js";

/**
 * The argument of a macro: a group, or one token (one digit of a number, as in `\frac12`).
 * With `wholeNumber` a number is taken entire, as in `x_10`.
 */
export function parseMacroArgument(cursor: Cursor, wholeNumber = false): Node {
  const token = cursor.peek();
  if (token?.type === "number" && !wholeNumber && /^\d{2,}$/.test(token.text)) {
    const rest = token.text.slice(1);
    cursor.replaceCurrent({
      type: "number",
      text: rest,
      value: fromInteger(BigInt(rest)),
      decimal: false,
      at: token.at + 1,
    });
    return integerNode(token.text[0]!);
  }
  if (token?.type === "letter" || token?.type === "constant") {
    cursor.next();
    return token.type === "letter" ? { kind: "symbol", name: token.text } : { kind: "constant", name: token.text };
  }
  if (token?.type === "mark" && token.text === "-") {
    cursor.next();
    return { kind: "negate", argument: parseMacroArgument(cursor, wholeNumber) };
  }
  if (token?.type === "mark" && (token.text === "*" || token.text === "+")) {
    cursor.next();
    return { kind: "symbol", name: token.text };
  }
  return parsePrimary(cursor);
}

function isEmpty(node: Node): boolean {
  return node.kind === "text" && node.value === "";
}

function integerNode(text: string): Node {
  return { kind: "number", value: fromInteger(BigInt(text)), decimal: false, text };
}

export function parseFraction(cursor: Cursor): Node {
  const derivative = parseDerivative(cursor);
  if (derivative !== null) return derivative;
  const first = cursor.peek();
  const compact = first?.type === "number" && /^\d{2,}$/.test(first.text);
  const numerator = parseMacroArgument(cursor);
  // "\frac134" is 1/34: after a one-digit numerator the remaining digits are the denominator.
  const denominator = compact ? parsePrimary(cursor) : parseMacroArgument(cursor, first?.type === "number");
  if (isEmpty(numerator) || isEmpty(denominator)) throw cursor.failure("empty part of a fraction");
  return { kind: "divide", numerator, denominator };
}

/** \frac{d^2 y}{dt^2} is one symbol: cancelling the d's would make it y/t. */
function parseDerivative(cursor: Cursor): Node | null {
  if (!cursor.isMark("{")) return null;
  const numeratorEnd = cursor.closingBrace();
  if (numeratorEnd < 0 || numeratorEnd - cursor.position > 24) return null;
  const start = cursor.position;
  const numerator = cursor.slice(start + 1, numeratorEnd);
  if (!isDifferential(numerator[0])) return null;
  cursor.position = numeratorEnd + 1;
  const denominatorEnd = cursor.isMark("{") ? cursor.closingBrace() : -1;
  const denominator = denominatorEnd < 0 ? [] : cursor.slice(cursor.position + 1, denominatorEnd);
  if (denominator.length < 2 || denominator.length > 12 || !isDifferential(denominator[0])) {
    cursor.position = start;
    return null;
  }
  cursor.position = denominatorEnd + 1;
  const name = `${spelling(numerator)}/${spelling(denominator)}`;
  if (numerator.length > 1) return { kind: "symbol", name };
  return { kind: "apply", name, args: [parsePostfix(cursor)] };
}

function isDifferential(token: Token | undefined): boolean {
  return token?.type === "letter" && (token.text === "d" || token.text === "partial");
}

function spelling(tokens: readonly Token[]): string {
  return tokens
    .filter((token) => !(token.type === "mark" && (token.text === "{" || token.text === "}")))
    .map((token) => token.text)
    .join("");
}

/** A function with its power, base and argument: \sin^2 x, \log_2 8, \max(a,b). */
export function parseFunction(cursor: Cursor, name: FunctionName): Node {
  let exponent: Node | null = null;
  let base: Node | null = null;
  let primed = "";
  for (;;) {
    if (cursor.isMark("^") && exponent === null) {
      cursor.next();
      exponent = parseMacroArgument(cursor);
    } else if (cursor.isMark("_") && base === null) {
      cursor.next();
      base = parseMacroArgument(cursor);
    } else if (cursor.accept("'")) primed += "'";
    else break;
  }
  // m_{\max}: a name, not a function without its argument.
  if (exponent === null && base === null && !startsArgument(cursor)) return { kind: "symbol", name };
  if (primed !== "") return { kind: "symbol", name: `${name}${primed}` };
  const args = parseArguments(cursor, name);
  let applied: FunctionName = name;
  if (exponent !== null && isMinusOne(exponent) && INVERSES[name] !== undefined) {
    applied = INVERSES[name];
    exponent = null;
  }
  const isLogarithm = applied === "log" || applied === "ln";
  const call: Node =
    base !== null && isLogarithm
      ? { kind: "call", name: "logBase", args: [base, ...args] }
      : base !== null
        ? { kind: "apply", name: `${applied}_`, args: [base, ...args] }
        : { kind: "call", name: applied, args };
  return exponent === null ? call : { kind: "power", base: call, exponent };
}

function startsArgument(cursor: Cursor): boolean {
  return (
    startsPrimary(cursor) || cursor.isMark("-") || cursor.isMark("+") || cursor.isMark("|") || cursor.isMark("\\pm")
  );
}

const INVERSES: Partial<Record<FunctionName, FunctionName>> = {
  sin: "arcsin",
  cos: "arccos",
  tan: "arctan",
  cot: "arccot",
  sec: "arcsec",
  csc: "arccsc",
  sinh: "arcsinh",
  cosh: "arccosh",
  tanh: "arctanh",
};

function isMinusOne(node: Node): boolean {
  return node.kind === "negate" && node.argument.kind === "number" && node.argument.text === "1";
}

function parseArguments(cursor: Cursor, name: FunctionName): readonly Node[] {
  if (cursor.isMark("(") || cursor.isMark("[")) {
    const open = cursor.next().text as "(" | "[";
    const bracket = parseBrackets(cursor, open);
    return bracket.kind === "tuple" ? bracket.items : [bracket];
  }
  if (
    cursor.isMark("\\{") ||
    (cursor.isMark("{") && (name === "max" || name === "min" || name === "gcd" || name === "lcm"))
  ) {
    const set = parsePrimary(cursor);
    return set.kind === "set" || set.kind === "list" || set.kind === "tuple" ? set.items : [set];
  }
  return [parseBareArgument(cursor)];
}

/** The argument of a function written without parentheses: factors up to the next function, sum or relation. */
function parseBareArgument(cursor: Cursor): Node {
  let negative = false;
  while (cursor.isMark("-") || cursor.isMark("+")) if (cursor.next().text === "-") negative = !negative;
  let result = parsePostfix(cursor);
  for (;;) {
    const token = cursor.peek();
    if (token === undefined || token.type === "function" || token.type === "text" || token.type === "unit") break;
    if (token.type === "mark" && token.text === "/") {
      const after = cursor.peek(1);
      if (after === undefined || after.type === "function" || after.type === "text") break;
      cursor.next();
      result = { kind: "divide", numerator: result, denominator: parsePostfix(cursor) };
    } else if (startsPrimary(cursor) && !(token.type === "mark" && token.text === "(")) {
      result = { kind: "multiply", factors: [result, parsePostfix(cursor)] };
    } else break;
  }
  return negative ? { kind: "negate", argument: result } : result;
}

/** \sum_{k=a}^{b} body, \prod, \int_a^b body dx. */
export function parseSeries(cursor: Cursor, operation: "sum" | "product" | "integral"): Node {
  let variable = "";
  let from: Node = { kind: "constant", name: "infinity" };
  let to: Node = { kind: "constant", name: "infinity" };
  for (;;) {
    if (cursor.accept("_")) {
      if (operation === "integral") from = parseMacroArgument(cursor);
      else ({ variable, from } = parseLowerBound(cursor));
    } else if (cursor.accept("^")) to = parseMacroArgument(cursor, true);
    else break;
  }
  if (operation === "integral") {
    const body = parseSum(cursor);
    return { kind: "series", operation, variable: "", from, to, body };
  }
  return { kind: "series", operation, variable, from, to, body: parseProduct(cursor) };
}

function parseLowerBound(cursor: Cursor): { variable: string; from: Node } {
  if (!cursor.isMark("{")) return { variable: "", from: parseMacroArgument(cursor) };
  const close = cursor.closingBrace();
  if (close < 0) throw cursor.failure("unclosed brace");
  cursor.next();
  const name = cursor.peek();
  const isAssignment = cursor.peek(1)?.type === "relation" && cursor.peek(1)?.text === "=";
  if (isAssignment && (name?.type === "letter" || name?.type === "constant")) {
    cursor.position += 2;
    const from = parseSum(cursor);
    if (cursor.position === close) {
      cursor.next();
      return { variable: name.text, from };
    }
  }
  const written = spelling(cursor.slice(cursor.position, close));
  cursor.position = close + 1;
  return { variable: "", from: { kind: "text", value: written } };
}

export function parseLimit(cursor: Cursor): Node {
  let condition = "";
  if (cursor.accept("_")) {
    if (!cursor.isMark("{")) throw cursor.failure("expected the variable of the limit");
    const close = cursor.closingBrace();
    if (close < 0) throw cursor.failure("unclosed brace");
    condition = spelling(cursor.slice(cursor.position + 1, close));
    cursor.position = close + 1;
  }
  return { kind: "apply", name: `lim ${condition}`, args: [parseProduct(cursor)] };
}
