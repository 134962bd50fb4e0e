import * as c from "../evaluate/complex.js";
import { PLAIN_READING } from "../evaluate/exact.js";
import { evaluateAt, isDefined, type Point } from "../evaluate/numeric.js";
import { mapChildren, type Node, type NodeOf, type RelationOperator } from "../parse/nodes.js";
import { factsOf } from "./facts.js";
import { sameRealSet } from "./membership.js";
import { samplePoint } from "./values.js";

type Relation = NodeOf<"relation">;
type Equal = (a: Node, b: Node) => boolean;

const FLIPPED: Readonly<Record<RelationOperator, RelationOperator>> = {
  "=": "=",
  "!=": "!=",
  "~": "~",
  "<": ">",
  "<=": ">=",
  ">": "<",
  ">=": "<=",
  in: "in",
  notin: "notin",
};

export function isEquation(node: Node): node is Relation {
  return node.kind === "relation" && node.operators.every((operator) => operator === "=" || operator === "in");
}

/** An equation that names a value: x = 2, f(x) = x + 1, (x, y) = (1, 2), x ∈ S. */
export function isAssignment(node: Node): node is Relation {
  return isEquation(node) && isName(node.operands[0]!);
}

/** Whether an expression consists of names only: x, AB, f(x), A/S, |AB|, (x, y), V_1 : V_2. */
export function isName(node: Node): boolean {
  switch (node.kind) {
    case "symbol":
    case "text":
    case "apply":
      return true;
    case "constant":
      return node.name === "e" || node.name === "i";
    case "multiply":
      return node.factors.every(isName);
    case "divide":
      return isName(node.numerator) && isName(node.denominator);
    case "ratio":
      return node.parts.every(isName);
    case "list":
    case "tuple":
      return node.items.length > 0 && node.items.every(isName);
    case "call":
      return node.name !== "factorial" && node.args.every(isName);
    default:
      return false;
  }
}

export function lastOperand(node: Relation): Node {
  return node.operands.at(-1)!;
}

/**
 * One form for equal chains: an approximation after a value is dropped, and a chain of equations
 * that starts with a name keeps its first and last member (x = 5 + 6 = 11 is x = 11).
 */
export function canonicalRelation(node: Relation): Node {
  let { operands, operators } = node;
  const approximate = operators.indexOf("~");
  if (approximate >= 0) {
    if (approximate > 0 || !isName(operands[0]!)) {
      operands = operands.slice(0, approximate + 1);
      operators = operators.slice(0, approximate);
      if (operators.length === 0) return operands[0]!;
    } else operators = operators.map((operator) => (operator === "~" ? "=" : operator));
  }
  if (operators.length > 1 && operators.every((operator) => operator === "=")) {
    // A name further on is what the last member is the value of: 5 + 6 = x = 11.
    const named = isName(operands[0]!) ? operands[0]! : (operands.slice(1, -1).find(isName) ?? operands[0]!);
    operands = [named, operands.at(-1)!];
    operators = ["="];
  }
  return operands === node.operands && operators === node.operators ? node : { kind: "relation", operands, operators };
}

export function equalRelations(gold: Relation, prediction: Relation, equal: Equal): boolean {
  if (isEquation(gold) && isEquation(prediction)) return equalEquations(gold, prediction, equal);
  if (pairwise(gold, prediction.operands, prediction.operators, equal)) return true;
  const operands = [...prediction.operands].reverse();
  const operators = [...prediction.operators].reverse().map((operator) => FLIPPED[operator]);
  if (pairwise(gold, operands, operators, equal)) return true;
  if (gold.operators.length === 1 && prediction.operators.length === 1) {
    const ratio = proportion(gold, prediction);
    if (ratio !== null) {
      const [a, b] = [gold.operators[0]!, prediction.operators[0]!];
      if (a === "!=" || b === "!=") return a === b;
      return b === (ratio > 0 ? a : FLIPPED[a]);
    }
  }
  return sameRealSet(gold, prediction);
}

function pairwise(
  gold: Relation,
  operands: readonly Node[],
  operators: readonly RelationOperator[],
  equal: Equal,
): boolean {
  return (
    gold.operators.length === operators.length &&
    gold.operators.every((operator, index) => operator === operators[index]) &&
    gold.operands.every((operand, index) => equal(operand, operands[index]!))
  );
}

function equalEquations(gold: Relation, prediction: Relation, equal: Equal): boolean {
  const [goldLeft, goldRight] = [gold.operands[0]!, lastOperand(gold)];
  const [left, right] = [prediction.operands[0]!, lastOperand(prediction)];
  if (isName(goldLeft) && isName(left)) {
    if (sameName(goldLeft, left, equal) && equal(goldRight, right)) return true;
    const renamed = renameArgument(goldLeft, left, right);
    if (renamed !== null) return equal(goldRight, renamed);
  }
  if (equal(goldLeft, left) && equal(goldRight, right)) return true;
  if (equal(goldLeft, right) && equal(goldRight, left)) return true;
  if (gold.operators.includes("in") || prediction.operators.includes("in")) return false;
  const ratio = proportion(gold, prediction);
  if (ratio !== null) return true;
  return solvedAlike(gold, prediction) || solvedAlike(prediction, gold);
}

function sameName(a: Node, b: Node, equal: Equal): boolean {
  if (a.kind === "symbol" && b.kind === "symbol") return a.name === b.name;
  return equal(a, b);
}

/** f(t) = t² says the same of f as f(x) = x²: the right side with the argument renamed. */
function renameArgument(goldLeft: Node, left: Node, right: Node): Node | null {
  if (
    goldLeft.kind !== "apply" ||
    left.kind !== "apply" ||
    goldLeft.name !== left.name ||
    goldLeft.args.length !== left.args.length
  )
    return null;
  const names = new Map<string, string>();
  for (const [index, argument] of left.args.entries()) {
    const target = goldLeft.args[index]!;
    if (argument.kind !== "symbol" || target.kind !== "symbol") return null;
    names.set(argument.name, target.name);
  }
  return renameSymbols(right, names);
}

export function renameSymbols(node: Node, names: ReadonlyMap<string, string>): Node {
  if (node.kind === "symbol") return { kind: "symbol", name: names.get(node.name) ?? node.name };
  return mapChildren(node, (child) => renameSymbols(child, names));
}

/** left − right of a two-sided relation at a sample point. */
function difference(node: Relation, point: Point): c.Complex {
  return c.subtract(evaluateAt(node.operands[0]!, point), evaluateAt(lastOperand(node), point));
}

/** The constant by which the two differences are proportional, or null when they are not. */
function proportion(gold: Relation, prediction: Relation): number | null {
  const first = factsOf(gold);
  const second = factsOf(prediction);
  const names = [...new Set([...first.symbols, ...second.symbols])];
  if (names.length === 0 && !first.hasUnknownFunction) return null;
  const integers = new Set([...first.integers, ...second.integers]);
  const real = !first.hasImaginary && !second.hasImaginary;
  let constant: number | null = null;
  let agreed = 0;
  for (let attempt = 0; attempt < 12 && agreed < 4; attempt++) {
    const symbols = samplePoint(names, integers, attempt, true);
    const point: Point = { reading: PLAIN_READING, symbols, real, seed: attempt, budget: { steps: 20000 } };
    const a = difference(gold, point);
    const b = difference(prediction, { ...point, budget: { steps: 20000 } });
    if (!isDefined(a) || !isDefined(b)) continue;
    if (c.size(a) <= 8 * a.error || c.size(b) <= 8 * b.error) {
      if (c.size(a) <= 8 * a.error !== c.size(b) <= 8 * b.error) return null;
      continue;
    }
    const ratio = c.divide(a, b);
    if (Math.abs(ratio.im) > 1e-9 * Math.abs(ratio.re)) return null;
    if (constant === null) constant = ratio.re;
    else if (Math.abs(ratio.re - constant) > 1e-9 * Math.abs(constant) + 8 * ratio.error) return null;
    agreed++;
  }
  return agreed >= 3 ? constant : null;
}

/** Whether `other` is linear in the variable that `solved` is solved for, and holds wherever `solved` does. */
function solvedAlike(solved: Relation, other: Relation): boolean {
  const variable = solved.operands[0]!;
  if (variable.kind !== "symbol" || solved.operators.length !== 1 || other.operators.length !== 1) return false;
  const value = lastOperand(solved);
  const facts = factsOf(value);
  if (facts.symbols.has(variable.name)) return false;
  const otherFacts = factsOf(other);
  if (!otherFacts.symbols.has(variable.name)) return false;
  const names = [...new Set([...facts.symbols, ...otherFacts.symbols])];
  let agreed = 0;
  for (let attempt = 0; attempt < 10 && agreed < 3; attempt++) {
    const symbols = samplePoint(names, new Set([...facts.integers, ...otherFacts.integers]), attempt, true);
    const at = (x: c.Complex): c.Complex =>
      difference(other, {
        reading: PLAIN_READING,
        symbols: new Map(symbols).set(variable.name, x),
        real: true,
        seed: attempt,
        budget: { steps: 20000 },
      });
    const root = evaluateAt(value, {
      reading: PLAIN_READING,
      symbols,
      real: true,
      seed: attempt,
      budget: { steps: 20000 },
    });
    if (!isDefined(root)) continue;
    const residual = at(root);
    if (!isDefined(residual)) continue;
    if (c.size(residual) > 16 * residual.error + 1e-13) return false;
    const step = c.complex(1);
    const up = at(c.add(root, step));
    const down = at(c.subtract(root, step));
    if (!isDefined(up) || !isDefined(down)) continue;
    if (c.size(c.add(up, down)) > 1e-9 * (c.size(up) + c.size(down)) || c.size(up) < 1e-12) return false;
    agreed++;
  }
  return agreed >= 3;
}
