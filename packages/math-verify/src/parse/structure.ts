import { Cursor } from "./cursor.js";
import { parseSum } from "./expression.js";
import { type Node, ParseFailure, type RelationOperator } from "./nodes.js";
import { setInnerRule } from "./primary.js";
import type { Token, TokenOptions } from "./token.js";
import { tokenize } from "./tokens.js";

setInnerRule(parseSum);

/** Parses one whole answer; throws ParseFailure. */
export function parseAnswerTokens(text: string, options: TokenOptions): Node {
  const cursor = new Cursor(trimTokens(tokenize(text, options)));
  if (cursor.atEnd) throw new ParseFailure("empty", 0);
  const answer = parseTop(cursor);
  if (!cursor.atEnd) throw cursor.failure(`unexpected ${cursor.peek()!.text}`);
  return answer;
}

const TRAILING = new Set([",", ";", ":", "\\\\", "and", "or", "&"]);
const ARROWS = new Set([
  "Rightarrow",
  "implies",
  "Longrightarrow",
  "iff",
  "Leftrightarrow",
  "therefore",
  "rightarrow",
  "longrightarrow",
]);

/** Drops separators at the ends, and all before the last "implies". */
function trimTokens(tokens: Token[]): Token[] {
  let end = tokens.length;
  while (end > 0 && isTrailing(tokens[end - 1]!)) end--;
  let start = 0;
  for (let index = 0; index < end; index++) {
    const token = tokens[index]!;
    if (token.type === "command" && ARROWS.has(token.text) && index + 1 < end) start = index + 1;
  }
  while (start < end && (isTrailing(tokens[start]!) || isLeading(tokens[start]!))) start++;
  return start === 0 && end === tokens.length ? tokens : tokens.slice(start, end);
}

function isTrailing(token: Token): boolean {
  return (token.type === "mark" && TRAILING.has(token.text)) || (token.type === "command" && /dots$/.test(token.text));
}

function isLeading(token: Token): boolean {
  return token.type === "relation" && (token.text === "=" || token.text === "~");
}

/** The top of the grammar: groups separated by semicolons, each a list. */
function parseTop(cursor: Cursor): Node {
  const groups: Node[] = [];
  let connector: "," | "and" | "or" = ",";
  do {
    const items: Node[] = [];
    for (;;) {
      items.push(cursor.nested(parseRelation));
      const separator = acceptSeparator(cursor);
      if (separator === null) break;
      if (separator !== ",") connector = separator;
      if (cursor.atEnd || cursor.isMark(";")) break;
    }
    groups.push(items.length === 1 ? items[0]! : { kind: "list", items, connector });
  } while (cursor.accept(";") && !cursor.atEnd);
  if (groups.length === 1) return groups[0]!;
  // "p=5,q=2; p=7,q=2" lists pairs.
  return {
    kind: "list",
    items: groups.map((group) =>
      group.kind === "list" ? { kind: "tuple", items: group.items, open: "(", close: ")" } : group,
    ),
    connector: ",",
  };
}

/** Items inside brackets, separated by commas, semicolons, and/or. */
export function parseItems(cursor: Cursor, semicolons: boolean): Node[] {
  const items = [cursor.nested(parseRelation)];
  for (;;) {
    if (!(semicolons && cursor.accept(";")) && acceptSeparator(cursor) === null) return items;
    if (isClosing(cursor)) return items;
    items.push(cursor.nested(parseRelation));
  }
}

function isClosing(cursor: Cursor): boolean {
  const token = cursor.peek();
  return (
    token === undefined ||
    (token.type === "mark" && (token.text === ")" || token.text === "]" || token.text === "}" || token.text === "\\}"))
  );
}

/** Consumes "," "and" "or" and their combinations (", and"), ellipses included. */
function acceptSeparator(cursor: Cursor): "," | "and" | "or" | null {
  let found: "," | "and" | "or" | null = null;
  for (;;) {
    const token = cursor.peek();
    if (token === undefined) return found;
    if (token.type === "mark" && (token.text === "," || token.text === "and" || token.text === "or")) {
      if (found === null || token.text !== ",") found = token.text;
      cursor.next();
    } else if (token.type === "mark" && token.text === "\\\\") {
      found ??= ",";
      cursor.next();
    } else return found;
  }
}

/** Relations and chains of them: a < x ≤ b, x = y = 2. */
export function parseRelation(cursor: Cursor): Node {
  const first = parseSetExpression(cursor);
  if (cursor.peek()?.type !== "relation") return first;
  const operands = [first];
  const operators: RelationOperator[] = [];
  while (cursor.peek()?.type === "relation") {
    const token = cursor.next();
    operators.push(token.text as RelationOperator);
    operands.push(parseSetExpression(cursor));
  }
  return { kind: "relation", operands, operators };
}

/** Unions, intersections and differences of sets, over ratios and sums. */
function parseSetExpression(cursor: Cursor): Node {
  let left = parseRatio(cursor);
  for (;;) {
    if (cursor.accept("\\cup")) left = { kind: "union", left, right: parseRatio(cursor) };
    else if (cursor.accept("\\cap")) left = { kind: "intersection", left, right: parseRatio(cursor) };
    else if (cursor.accept("\\setminus")) left = { kind: "difference", left, right: parseRatio(cursor) };
    else return left;
  }
}

/** a : b : c, and clock times such as 12:05. */
function parseRatio(cursor: Cursor): Node {
  const first = parseSum(cursor);
  if (cursor.insideSet || !isColon(cursor)) return first;
  const parts = [first];
  let clock = true;
  while (isColon(cursor)) {
    cursor.next();
    const minutes = cursor.peek();
    clock = clock && minutes?.type === "number" && /^[0-5]\d$/.test(minutes.text);
    parts.push(parseSum(cursor));
  }
  // "2:05" and "12:00" can only be times; "2:15" may be a ratio and is compared as one.
  const certain =
    clock && parts.slice(1).some((part) => part.kind === "number" && (part.text.startsWith("0") || part.text === "00"));
  return { kind: "ratio", parts, clock: certain };
}

function isColon(cursor: Cursor): boolean {
  const token = cursor.peek();
  return (token?.type === "mark" && token.text === ":") || (token?.type === "command" && token.text === "colon");
}
