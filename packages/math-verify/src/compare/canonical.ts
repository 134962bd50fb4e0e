import { children, mapChildren, type Node } from "../parse/nodes.js";
import { factsOf } from "./facts.js";
import { canonicalRelation, isAssignment } from "./relations.js";
import { meaningOfPhrase } from "./words.js";

/** One form for answers written in different ways, before they are compared. */
export function canonical(node: Node): Node {
  switch (node.kind) {
    case "relation":
      return canonicalRelation({ ...node, operands: node.operands.map(canonical) });
    case "list": {
      const items = node.items.map(canonical);
      if (items.length === 1) return items[0]!;
      // "n = 1, 2, 3" gives one name three values.
      const [first, ...rest] = items;
      if (
        first !== undefined &&
        isAssignment(first) &&
        first.operators.length === 1 &&
        rest.every((item) => item.kind !== "relation")
      ) {
        return {
          kind: "relation",
          operands: [first.operands[0]!, { ...node, items: [first.operands[1]!, ...rest] }],
          operators: first.operators,
        };
      }
      return { ...node, items };
    }
    case "set":
    case "tuple":
    case "union":
    case "intersection":
    case "difference":
    case "setBuilder":
      return mapChildren(node, canonical);
    case "text":
      return meaningOfPhrase(node.value) ?? node;
    case "add":
      return setDifference(node) ?? matrixSum(node) ?? node;
    case "multiply":
      return matrixProduct(node) ?? node;
    case "divide":
    case "negate":
      return scaledMatrix(node) ?? node;
    case "matrix":
      return node.rows.length === 1 && node.rows[0]!.length === 1 ? node.rows[0]![0]! : node;
    default:
      return node;
  }
}

function setDifference(node: Extract<Node, { kind: "add" }>): Node | null {
  const [first, ...rest] = node.terms;
  if (first === undefined || (first.kind !== "namedSet" && first.kind !== "tuple" && first.kind !== "set")) return null;
  let result: Node = canonical(first);
  for (const term of rest) {
    if (term.kind !== "negate" || (term.argument.kind !== "set" && term.argument.kind !== "tuple")) return null;
    result = { kind: "difference", left: result, right: canonical(term.argument) };
  }
  return result;
}

type Matrix = readonly (readonly Node[])[];

function asMatrix(node: Node): Matrix | null {
  const reduced = node.kind === "matrix" ? node : canonical(node);
  return reduced.kind === "matrix" ? reduced.rows : null;
}

function mentionsMatrix(node: Node): boolean {
  return (
    node.kind === "matrix" ||
    ((node.kind === "add" || node.kind === "multiply" || node.kind === "divide" || node.kind === "negate") &&
      children(node).some(mentionsMatrix))
  );
}

function matrixSum(node: Extract<Node, { kind: "add" }>): Node | null {
  if (!mentionsMatrix(node)) return null;
  const terms = node.terms.map(asMatrix);
  const first = terms[0];
  if (first === null || first === undefined) return null;
  if (terms.some((term) => term === null || term.length !== first.length || term[0]!.length !== first[0]!.length))
    return null;
  return {
    kind: "matrix",
    rows: first.map((row, i) => row.map((_, j) => ({ kind: "add", terms: terms.map((term) => term![i]![j]!) }))),
  };
}

function scale(matrix: Matrix, factor: (cell: Node) => Node): Node {
  return { kind: "matrix", rows: matrix.map((row) => row.map(factor)) };
}

function scaledMatrix(node: Extract<Node, { kind: "divide" | "negate" }>): Node | null {
  if (!mentionsMatrix(node)) return null;
  const matrix = asMatrix(node.kind === "negate" ? node.argument : node.numerator);
  if (matrix === null) return null;
  return scale(matrix, (cell) =>
    node.kind === "negate" ? { kind: "negate", argument: cell } : { ...node, numerator: cell },
  );
}

function matrixProduct(node: Extract<Node, { kind: "multiply" }>): Node | null {
  if (!mentionsMatrix(node)) return null;
  let product: Matrix | null = null;
  const scalars: Node[] = [];
  for (const factor of node.factors) {
    const matrix = asMatrix(factor);
    if (matrix === null) scalars.push(factor);
    else if (product === null) product = matrix;
    else {
      const left: Matrix = product;
      if (left[0]!.length !== matrix.length || left.length * matrix[0]!.length > 100) return null;
      product = left.map((row) =>
        matrix[0]!.map(
          (_, j): Node => ({
            kind: "add",
            terms: row.map((cell, k) => ({ kind: "multiply", factors: [cell, matrix[k]![j]!] })),
          }),
        ),
      );
    }
  }
  if (product === null) return null;
  return scalars.length === 0
    ? { kind: "matrix", rows: product }
    : scale(product, (cell) => ({ kind: "multiply", factors: [...scalars, cell] }));
}

/** The values of an expression with ±: both with the upper signs, then with the lower ones. */
export function expandSigns(node: Node): readonly Node[] {
  if (!factsOf(node).hasPlusMinus) return [node];
  return [chooseSign(node, 1), chooseSign(node, -1)];
}

function chooseSign(node: Node, choice: 1 | -1): Node {
  if (node.kind !== "plusMinus") return mapChildren(node, (child) => chooseSign(child, choice));
  const right = chooseSign(node.right, choice);
  const signed: Node = node.sign * choice > 0 ? right : { kind: "negate", argument: right };
  return node.left === null ? signed : { kind: "add", terms: [chooseSign(node.left, choice), signed] };
}
