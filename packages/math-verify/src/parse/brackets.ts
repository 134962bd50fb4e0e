import type { Cursor } from "./cursor.js";
import type { Node } from "./nodes.js";
import { parseItems, parseRelation } from "./structure.js";

type Closing = ")" | "]";

/** After `(` or `[`: a parenthesis, a point, an interval or a list in brackets. */
export function parseBrackets(cursor: Cursor, open: "(" | "[" | "]"): Node {
  const saved = saveContext(cursor);
  if (cursor.isMark(")") || cursor.isMark("]")) {
    const close = cursor.next().text as Closing;
    return { kind: "tuple", items: [], open: open === "(" ? "(" : "[", close };
  }
  const items = parseItems(cursor, true);
  restoreContext(cursor, saved);
  const token = cursor.peek();
  let close: Closing;
  if (cursor.accept(")")) close = ")";
  else if (cursor.accept("]")) close = "]";
  // "]a, b[" is the French spelling of an open interval.
  else if (items.length === 2 && token?.type === "mark" && token.text === "[") {
    cursor.next();
    close = ")";
  } else throw cursor.failure("unclosed bracket");
  if (items.length === 1) return items[0]!;
  return { kind: "tuple", items, open: open === "[" ? "[" : "(", close };
}

interface Context {
  readonly bars: number;
  readonly insideSet: boolean;
}

function saveContext(cursor: Cursor): Context {
  const context = { bars: cursor.openBars, insideSet: cursor.insideSet };
  cursor.openBars = 0;
  cursor.insideSet = false;
  return context;
}

function restoreContext(cursor: Cursor, context: Context): void {
  cursor.openBars = context.bars;
  cursor.insideSet = context.insideSet;
}

/** After `{`: a group; with commas an unordered list. */
export function parseBraces(cursor: Cursor): Node {
  const saved = saveContext(cursor);
  if (cursor.accept("}")) {
    restoreContext(cursor, saved);
    return { kind: "text", value: "" };
  }
  let items = parseItems(cursor, true);
  if (cursor.peek()?.type === "command" && items.length === 1) {
    const name = cursor.peek()!.text;
    if (name === "choose" || name === "over") {
      cursor.next();
      const right = parseRelation(cursor);
      items = [
        name === "choose"
          ? { kind: "call", name: "binomial", args: [items[0]!, right] }
          : { kind: "divide", numerator: items[0]!, denominator: right },
      ];
    }
  }
  restoreContext(cursor, saved);
  cursor.expect("}");
  return items.length === 1 ? items[0]! : { kind: "list", items, connector: "," };
}

/** After `\{`: a set, by its elements or by a condition. */
export function parseSetBraces(cursor: Cursor): Node {
  const saved = saveContext(cursor);
  if (cursor.accept("\\}")) {
    restoreContext(cursor, saved);
    return { kind: "set", items: [] };
  }
  cursor.insideSet = true;
  const items = parseItems(cursor, true);
  cursor.insideSet = false;
  const token = cursor.peek();
  const separates =
    (token?.type === "mark" && (token.text === "|" || token.text === ":")) ||
    (token?.type === "command" && (token.text === "mid" || token.text === "colon"));
  if (items.length === 1 && separates) {
    cursor.next();
    const conditions = parseItems(cursor, true);
    restoreContext(cursor, saved);
    cursor.expect("\\}");
    const condition: Node =
      conditions.length === 1 ? conditions[0]! : { kind: "list", items: conditions, connector: "and" };
    return { kind: "setBuilder", element: items[0]!, condition };
  }
  restoreContext(cursor, saved);
  cursor.expect("\\}");
  return { kind: "set", items };
}

/** After `\langle`: a vector. */
export function parseAngle(cursor: Cursor): Node {
  const saved = saveContext(cursor);
  const items = parseItems(cursor, true);
  restoreContext(cursor, saved);
  cursor.expect(")>");
  return items.length === 1 ? items[0]! : { kind: "tuple", items, open: "(", close: ")" };
}

/** After `|`: an absolute value. */
export function parseBars(cursor: Cursor, open: string): Node {
  const close = open === "|(" ? ")|" : "|";
  const saved = cursor.openBars;
  cursor.openBars = open === "|" ? saved + 1 : 0;
  const inner = parseRelation(cursor);
  cursor.openBars = saved;
  if (!cursor.accept(close)) throw cursor.failure("unclosed |");
  return { kind: "call", name: inner.kind === "matrix" ? "det" : "abs", args: [inner] };
}

/** After \begin{name}: a matrix, or the lines of an alignment as a list. */
export function parseBegin(cursor: Cursor, name: string): Node {
  const saved = saveContext(cursor);
  const rows: Node[][] = [[]];
  for (;;) {
    const token = cursor.peek();
    if (token === undefined) throw cursor.failure(`\\begin{${name}} without \\end`);
    if (token.type === "end") {
      cursor.next();
      break;
    }
    if (cursor.accept("\\\\")) rows.push([]);
    else if (cursor.accept("&")) {
      if (rows[rows.length - 1]!.length === 0) rows[rows.length - 1]!.push(EMPTY);
    } else if (cursor.accept(",") || cursor.accept(";")) {
      // A comma at the end of a line says nothing.
    } else rows[rows.length - 1]!.push(parseCell(cursor));
  }
  restoreContext(cursor, saved);
  if (/matrix$|^array$/.test(name)) {
    const cells = rows.map((row) => row.filter((cell) => cell !== EMPTY)).filter((row) => row.length > 0);
    const matrix: Node = { kind: "matrix", rows: cells };
    if (cells.some((row) => row.length !== cells[0]!.length)) throw cursor.failure("matrix rows of unequal length");
    return name === "vmatrix" ? { kind: "call", name: "det", args: [matrix] } : matrix;
  }
  const items = rows.flat().filter((cell) => cell !== EMPTY);
  if (items.length === 1) return items[0]!;
  if (name === "cases") return { kind: "list", items, connector: "," };
  return { kind: "list", items, connector: "and" };
}

const EMPTY: Node = { kind: "text", value: "" };

function parseCell(cursor: Cursor): Node {
  return cursor.nested(parseRelation);
}
