import type { Rational } from "../evaluate/rational.js";

/** Names of functions the evaluator knows. `log` is the logarithm whose base is not written. */
export type FunctionName =
  | "sin"
  | "cos"
  | "tan"
  | "cot"
  | "sec"
  | "csc"
  | "arcsin"
  | "arccos"
  | "arctan"
  | "arccot"
  | "arcsec"
  | "arccsc"
  | "sinh"
  | "cosh"
  | "tanh"
  | "coth"
  | "sech"
  | "csch"
  | "arcsinh"
  | "arccosh"
  | "arctanh"
  | "log"
  | "ln"
  | "logBase"
  | "exp"
  | "sqrt"
  | "root"
  | "abs"
  | "floor"
  | "ceil"
  | "factorial"
  | "binomial"
  | "gamma"
  | "gcd"
  | "lcm"
  | "max"
  | "min"
  | "mod"
  | "re"
  | "im"
  | "conj"
  | "arg"
  | "sign"
  | "det";

export type RelationOperator = "=" | "!=" | "<" | "<=" | ">" | ">=" | "~" | "in" | "notin";

/** A parsed answer: an expression, or a structure of expressions. */
export type Node =
  | { readonly kind: "number"; readonly value: Rational; readonly decimal: boolean; readonly text: string }
  | { readonly kind: "symbol"; readonly name: string }
  | { readonly kind: "constant"; readonly name: "pi" | "e" | "i" | "infinity" }
  | { readonly kind: "add"; readonly terms: readonly Node[] }
  | { readonly kind: "multiply"; readonly factors: readonly Node[] }
  | { readonly kind: "divide"; readonly numerator: Node; readonly denominator: Node }
  | { readonly kind: "negate"; readonly argument: Node }
  | { readonly kind: "power"; readonly base: Node; readonly exponent: Node }
  /** `left ± right`; sign −1 is ∓; left is null for a leading sign. */
  | { readonly kind: "plusMinus"; readonly left: Node | null; readonly right: Node; readonly sign: 1 | -1 }
  | { readonly kind: "call"; readonly name: FunctionName; readonly args: readonly Node[] }
  /** A function or sequence nothing is known of: f(x), F_{n-1}. */
  | { readonly kind: "apply"; readonly name: string; readonly args: readonly Node[] }
  | {
      readonly kind: "series";
      readonly operation: "sum" | "product" | "integral" | "limit";
      readonly variable: string;
      readonly from: Node;
      readonly to: Node;
      readonly body: Node;
    }
  | { readonly kind: "percent"; readonly argument: Node }
  | { readonly kind: "degrees"; readonly argument: Node }
  /** A value with its unit, kept so that `5 m` may still meet `5\text{ m}`. */
  | { readonly kind: "quantity"; readonly value: Node; readonly unit: string }
  | { readonly kind: "ratio"; readonly parts: readonly Node[]; readonly clock: boolean }
  | { readonly kind: "text"; readonly value: string }
  /** Items written one after another: an unordered collection. */
  | { readonly kind: "list"; readonly items: readonly Node[]; readonly connector: "," | "and" | "or" }
  | { readonly kind: "set"; readonly items: readonly Node[] }
  /** Bracketed items. Two items make a point or an interval; which one is not written. */
  | { readonly kind: "tuple"; readonly items: readonly Node[]; readonly open: "(" | "["; readonly close: ")" | "]" }
  | { readonly kind: "matrix"; readonly rows: readonly (readonly Node[])[] }
  | { readonly kind: "union" | "intersection" | "difference"; readonly left: Node; readonly right: Node }
  | { readonly kind: "namedSet"; readonly name: string }
  | { readonly kind: "setBuilder"; readonly element: Node; readonly condition: Node }
  | { readonly kind: "relation"; readonly operands: readonly Node[]; readonly operators: readonly RelationOperator[] };

export type NodeOf<K extends Node["kind"]> = Extract<Node, { kind: K }>;

/** Why a text is not an answer. Thrown inside the parser only; callers of the package never see it. */
export class ParseFailure {
  constructor(
    readonly message: string,
    readonly position: number,
  ) {}
}

/** The direct children of a node, in reading order. */
export function children(node: Node): readonly Node[] {
  switch (node.kind) {
    case "number":
    case "symbol":
    case "constant":
    case "text":
    case "namedSet":
      return [];
    case "add":
      return node.terms;
    case "multiply":
      return node.factors;
    case "divide":
      return [node.numerator, node.denominator];
    case "negate":
    case "percent":
    case "degrees":
      return [node.argument];
    case "quantity":
      return [node.value];
    case "power":
      return [node.base, node.exponent];
    case "plusMinus":
      return node.left === null ? [node.right] : [node.left, node.right];
    case "call":
    case "apply":
      return node.args;
    case "series":
      return [node.from, node.to, node.body];
    case "ratio":
      return node.parts;
    case "list":
    case "set":
    case "tuple":
      return node.items;
    case "matrix":
      return node.rows.flat();
    case "union":
    case "intersection":
    case "difference":
      return [node.left, node.right];
    case "setBuilder":
      return [node.element, node.condition];
    case "relation":
      return node.operands;
    default:
      return node satisfies never;
  }
}

/** The node with every direct child replaced. */
export function mapChildren(node: Node, change: (child: Node) => Node): Node {
  switch (node.kind) {
    case "number":
    case "symbol":
    case "constant":
    case "text":
    case "namedSet":
      return node;
    case "add":
      return { ...node, terms: node.terms.map(change) };
    case "multiply":
      return { ...node, factors: node.factors.map(change) };
    case "divide":
      return { ...node, numerator: change(node.numerator), denominator: change(node.denominator) };
    case "negate":
    case "percent":
    case "degrees":
      return { ...node, argument: change(node.argument) };
    case "quantity":
      return { ...node, value: change(node.value) };
    case "power":
      return { ...node, base: change(node.base), exponent: change(node.exponent) };
    case "plusMinus":
      return { ...node, left: node.left === null ? null : change(node.left), right: change(node.right) };
    case "call":
    case "apply":
      return { ...node, args: node.args.map(change) };
    case "series":
      return { ...node, from: change(node.from), to: change(node.to), body: change(node.body) };
    case "ratio":
      return { ...node, parts: node.parts.map(change) };
    case "list":
    case "set":
    case "tuple":
      return { ...node, items: node.items.map(change) };
    case "matrix":
      return { ...node, rows: node.rows.map((row) => row.map(change)) };
    case "union":
    case "intersection":
    case "difference":
      return { ...node, left: change(node.left), right: change(node.right) };
    case "setBuilder":
      return { ...node, element: change(node.element), condition: change(node.condition) };
    case "relation":
      return { ...node, operands: node.operands.map(change) };
    default:
      return node satisfies never;
  }
}
