import { complex } from "../evaluate/complex.js";
import { PLAIN_READING } from "../evaluate/exact.js";
import { evaluateAt, type Point } from "../evaluate/numeric.js";
import { children, mapChildren, type Node, type NodeOf, type RelationOperator } from "../parse/nodes.js";
import { factsOf } from "./facts.js";

/**
 * Sets of real numbers given by intervals, unions, elements or conditions on one variable are equal
 * when they contain the same points: every endpoint, points just beside each, and points between.
 */
export function sameRealSet(a: Node, b: Node): boolean {
  const left = withOneVariable(a);
  const right = withOneVariable(b);
  if (left === null || right === null) return false;
  if (left.variable !== null && right.variable !== null && left.variable !== right.variable) return false;
  for (const commaIsOr of hasCommaList(left.node) || hasCommaList(right.node) ? [true, false] : [true]) {
    const first: RealSet = { ...left, commaIsOr };
    const second: RealSet = { ...right, commaIsOr };
    if (agree(first, second)) return true;
  }
  return false;
}

interface RealSet {
  readonly node: Node;
  readonly variable: string | null;
  readonly commaIsOr: boolean;
}

function agree(first: RealSet, second: RealSet): boolean {
  const points = testPoints([...criticalPoints(first), ...criticalPoints(second)]);
  let inside = 0;
  for (const x of points) {
    const isInFirst = contains(first.node, x, first);
    const isInSecond = contains(second.node, x, second);
    if (isInFirst === null || isInSecond === null || isInFirst !== isInSecond) return false;
    if (isInFirst) inside++;
  }
  return inside > 0 || (isEmptySet(first.node) && isEmptySet(second.node));
}

function isEmptySet(node: Node): boolean {
  return node.kind === "set" && node.items.length === 0;
}

function hasCommaList(node: Node): boolean {
  return node.kind === "list" && node.connector === ",";
}

/** The condition in terms of one real variable, or null; f(x) counts as a variable of its own. */
function withOneVariable(node: Node): { node: Node; variable: string | null } | null {
  const applied = new Map<string, string>();
  const replaced = replaceApplications(node, applied);
  const symbols = factsOf(replaced).symbols;
  if (symbols.size > 1) return null;
  return { node: replaced, variable: symbols.values().next().value ?? null };
}

function replaceApplications(node: Node, seen: Map<string, string>): Node {
  if (node.kind === "apply") {
    const key = JSON.stringify(node, (_, value: unknown) => (typeof value === "bigint" ? value.toString() : value));
    const name = seen.get(key) ?? `${node.name}(${seen.size})`;
    seen.set(key, name);
    return { kind: "symbol", name };
  }
  return mapChildren(node, (child) => replaceApplications(child, seen));
}

function valueAt(node: Node, x: number, set: RealSet): number {
  const symbols = set.variable === null ? new Map() : new Map([[set.variable, complex(x)]]);
  const point: Point = { reading: PLAIN_READING, symbols, real: true, seed: 1, budget: { steps: 4000 } };
  const value = evaluateAt(node, point);
  return Math.abs(value.im) > 8 * value.error ? Number.NaN : value.re;
}

function near(a: number, b: number): boolean {
  if (a === b) return true;
  return Number.isFinite(a) && Number.isFinite(b) && Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(a), Math.abs(b));
}

/** Whether the real number x belongs to the set; null where the question has no answer. */
function contains(node: Node, x: number, set: RealSet): boolean | null {
  switch (node.kind) {
    case "tuple": {
      if (node.items.length !== 2) return null;
      const low = valueAt(node.items[0]!, x, set);
      const high = valueAt(node.items[1]!, x, set);
      if (Number.isNaN(low) || Number.isNaN(high)) return null;
      if (near(x, low)) return node.open === "[" && (node.close === "]" ? x <= high || near(x, high) : x < high);
      if (near(x, high)) return node.close === "]" && x > low;
      return x > low && x < high;
    }
    case "set":
      return anyOf(node.items, x, set);
    case "list": {
      const isOr = node.connector === "or" || (node.connector === "," && set.commaIsOr);
      return isOr || !node.items.every(isCondition) ? anyOf(node.items, x, set) : allOf(node.items, x, set);
    }
    case "union":
      return anyOf([node.left, node.right], x, set);
    case "intersection":
      return allOf([node.left, node.right], x, set);
    case "difference": {
      const left = contains(node.left, x, set);
      const right = contains(node.right, x, set);
      return left === null || right === null ? null : left && !right;
    }
    case "namedSet":
      return inNamedSet(node.name, x);
    case "setBuilder":
      return node.element.kind === "symbol" ? contains(node.condition, x, set) : null;
    case "relation":
      return satisfies(node, x, set);
    default: {
      const value = valueAt(node, x, set);
      return Number.isNaN(value) ? null : near(value, x);
    }
  }
}

function isCondition(node: Node): boolean {
  return node.kind === "relation" || node.kind === "setBuilder";
}

function anyOf(items: readonly Node[], x: number, set: RealSet): boolean | null {
  let found: boolean | null = false;
  for (const item of items) {
    const inside = contains(item, x, set);
    if (inside === null) return null;
    found = found || inside;
  }
  return found;
}

function allOf(items: readonly Node[], x: number, set: RealSet): boolean | null {
  for (const item of items) {
    const inside = contains(item, x, set);
    if (inside === null || !inside) return inside;
  }
  return true;
}

function inNamedSet(name: string, x: number): boolean | null {
  switch (name) {
    case "R":
      return true;
    case "Z":
      return near(x, Math.round(x));
    case "N":
    case "Z+":
    case "Z^+":
    case "Z_+":
      return near(x, Math.round(x)) && x > 0.5;
    case "R+":
    case "R^+":
    case "R_+":
      return x > 1e-9;
    case "R^-":
    case "R_-":
      return x < -1e-9;
    default:
      return null;
  }
}

function satisfies(node: NodeOf<"relation">, x: number, set: RealSet): boolean | null {
  for (let index = 0; index < node.operators.length; index++) {
    const holds = relationHolds(node.operators[index]!, node.operands[index]!, node.operands[index + 1]!, x, set);
    if (holds !== true) return holds;
  }
  return true;
}

function relationHolds(operator: RelationOperator, left: Node, right: Node, x: number, set: RealSet): boolean | null {
  const a = valueAt(left, x, set);
  if (operator === "in" || operator === "notin") {
    if (Number.isNaN(a)) return null;
    const inside = contains(right, a, set);
    return inside === null ? null : inside === (operator === "in");
  }
  const items = right.kind === "list" ? right.items : [right];
  const values = items.map((item) => valueAt(item, x, set));
  // Outside the domain of an expression a condition on it does not hold.
  if (Number.isNaN(a) || values.some(Number.isNaN)) return false;
  const equal = values.some((b) => near(a, b));
  switch (operator) {
    case "=":
    case "~":
      return equal;
    case "!=":
      return !equal;
    case "<":
      return values.length === 1 && !equal && a < values[0]!;
    case "<=":
      return values.length === 1 && (equal || a < values[0]!);
    case ">":
      return values.length === 1 && !equal && a > values[0]!;
    case ">=":
      return values.length === 1 && (equal || a > values[0]!);
    default:
      return operator satisfies never;
  }
}

/** Where membership may change: endpoints, elements, and roots of conditions. */
function criticalPoints(set: RealSet): number[] {
  const points: number[] = [];
  const visit = (node: Node, depth: number): void => {
    if (depth > 12 || points.length > 200) return;
    if (node.kind === "relation") {
      for (let index = 0; index < node.operators.length; index++) {
        const left = node.operands[index]!;
        const right = node.operands[index + 1]!;
        if (isStructure(right)) visit(right, depth + 1);
        else for (const item of right.kind === "list" ? right.items : [right]) points.push(...roots(left, item, set));
      }
      return;
    }
    if (isStructure(node)) {
      for (const child of children(node)) visit(child, depth + 1);
      return;
    }
    const value = valueAt(node, 0.123, set);
    if (Number.isFinite(value)) points.push(value);
  };
  visit(set.node, 0);
  return points;
}

function isStructure(node: Node): boolean {
  return ["tuple", "set", "list", "union", "intersection", "difference", "setBuilder", "relation", "namedSet"].includes(
    node.kind,
  );
}

const GRID = [
  -1e4, -1e3, -300, -100, -47.3, -20.7, -10.3, -6.1, -4.4, -3.3, -2.6, -2.1, -1.7, -1.3, -0.8, -0.45, -0.21, -0.06,
  -1e-3,
];
const FULL_GRID = [...GRID, ...GRID.map((x) => -x).reverse()];

/** Roots of left − right: exactly for linear and absolute-value conditions, else by bisection on a grid. */
function roots(left: Node, right: Node, set: RealSet): number[] {
  const f = (x: number): number => valueAt(left, x, set) - valueAt(right, x, set);
  if (set.variable === null) return [];
  const found: number[] = [];
  for (const sign of [1, -1]) {
    // On each half-line x = sign·t the condition may be linear in t.
    const at1 = f(sign * 1.25);
    const at2 = f(sign * 2.25);
    const at3 = f(sign * 4.25);
    const slope = at2 - at1;
    if (Math.abs(at3 - at2 - 2 * slope) < 1e-9 * (1 + Math.abs(at3)) && slope !== 0)
      found.push(sign * (1.25 - at1 / slope));
  }
  let previous = f(FULL_GRID[0]!);
  for (let index = 1; index < FULL_GRID.length; index++) {
    const value = f(FULL_GRID[index]!);
    if (previous * value < 0 || Number.isNaN(previous) !== Number.isNaN(value))
      found.push(bisect(f, FULL_GRID[index - 1]!, FULL_GRID[index]!));
    if (value === 0) found.push(FULL_GRID[index]!);
    previous = value;
  }
  return found.filter(Number.isFinite);
}

function bisect(f: (x: number) => number, from: number, to: number): number {
  let low = from;
  let high = to;
  const side = (x: number): number => {
    const value = f(x);
    return Number.isNaN(value) ? 2 : Math.sign(value);
  };
  const start = side(low);
  for (let step = 0; step < 60; step++) {
    const middle = (low + high) / 2;
    if (side(middle) === start) low = middle;
    else high = middle;
  }
  const middle = (low + high) / 2;
  return Math.abs(middle - Math.round(middle)) < 1e-9 ? Math.round(middle) : middle;
}

function testPoints(critical: readonly number[]): number[] {
  const sorted = [...critical]
    .sort((a, b) => a - b)
    .filter((x, index, all) => index === 0 || !near(x, all[index - 1]!));
  if (sorted.length === 0) return [-1e3, -2.5, -1, 0, 0.5, 1, 3, 1e3];
  const points: number[] = [
    sorted[0]! - 1e3,
    sorted[0]! - 1.5,
    sorted[0]! - 1,
    sorted.at(-1)! + 1,
    sorted.at(-1)! + 1.5,
    sorted.at(-1)! + 1e3,
    0,
  ];
  for (const [index, x] of sorted.entries()) {
    const before = index === 0 ? 1 : x - sorted[index - 1]!;
    const after = index === sorted.length - 1 ? 1 : sorted[index + 1]! - x;
    const unit = 1e-4 * (1 + Math.abs(x));
    points.push(
      x,
      x - Math.min(before / 3, unit),
      x + Math.min(after / 3, unit),
      x + after / 2,
      x + after * 0.29,
      Math.floor(x + after / 2),
    );
  }
  return points;
}
