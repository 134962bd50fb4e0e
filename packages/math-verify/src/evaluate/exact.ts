import type { Node } from "../parse/nodes.js";
import type { Rational } from "./rational.js";
import * as q from "./rational.js";

/** How the parts of an answer that admit two readings are read. */
export interface Reading {
  /** Value of one percent: 1/100, or 1 where the sign is taken for a unit. */
  readonly percentIsUnit: boolean;
  /** 90° is 90, or π/2. */
  readonly degreesAreUnit: boolean;
  /** Base of a logarithm written without one. */
  readonly naturalLog: boolean;
}

export const PLAIN_READING: Reading = { percentIsUnit: false, degreesAreUnit: true, naturalLog: false };

/** Work left to an exact evaluation, in operations; a sum over a million terms stops early. */
interface Budget {
  steps: number;
}

const MAX_STEPS = 20_000;
/** Reducing a fraction costs the square of its length; long ones use up the budget sooner. */
function charge(value: Rational | null, budget: Budget): Rational | null {
  if (value !== null && value.denominator !== 1n) budget.steps -= (q.bitLength(value.denominator) / 64) ** 2 / 40;
  return value;
}

const HUNDRED = q.fromInteger(100);

/** The exact rational value of a node without symbols, or null when it is irrational, symbolic or too large. */
export function exactValue(node: Node, reading: Reading): Rational | null {
  return evaluate(node, reading, null, { steps: MAX_STEPS });
}

type Bindings = ReadonlyMap<string, Rational> | null;

function evaluate(node: Node, reading: Reading, bindings: Bindings, budget: Budget): Rational | null {
  if (--budget.steps < 0) return null;
  const value = (child: Node): Rational | null => evaluate(child, reading, bindings, budget);
  switch (node.kind) {
    case "number":
      return node.value;
    case "symbol":
      return bindings?.get(node.name) ?? null;
    case "negate": {
      const argument = value(node.argument);
      return argument === null ? null : q.negate(argument);
    }
    case "add": {
      let total: Rational | null = q.ZERO;
      for (const term of node.terms) {
        const next = value(term);
        if (next === null) return null;
        total = charge(q.add(total, next), budget);
        if (total === null) return null;
      }
      return total;
    }
    case "multiply": {
      let total: Rational | null = q.ONE;
      for (const factor of node.factors) {
        const next = value(factor);
        if (next === null) return null;
        total = charge(q.multiply(total, next), budget);
        if (total === null) return null;
      }
      return total;
    }
    case "divide": {
      const numerator = value(node.numerator);
      if (numerator === null) return null;
      const denominator = value(node.denominator);
      return denominator === null ? null : charge(q.divide(numerator, denominator), budget);
    }
    case "power":
      return exactPower(value(node.base), value(node.exponent));
    case "percent": {
      const argument = value(node.argument);
      return argument === null || reading.percentIsUnit ? argument : q.divide(argument, HUNDRED);
    }
    case "degrees":
      return reading.degreesAreUnit ? value(node.argument) : null;
    case "quantity":
      return value(node.value);
    case "ratio": {
      if (node.parts.length !== 2) return null;
      const left = value(node.parts[0]!);
      const right = left === null ? null : value(node.parts[1]!);
      return left === null || right === null ? null : q.divide(left, right);
    }
    case "call":
      return exactCall(node, value);
    case "series":
      return exactSeries(node, reading, bindings, budget);
    default:
      return null;
  }
}

function exactPower(base: Rational | null, exponent: Rational | null): Rational | null {
  if (base === null || exponent === null) return null;
  if (q.isInteger(exponent)) return q.power(base, exponent.numerator);
  if (exponent.denominator > 64n) return null;
  if (base.numerator < 0n) return null;
  const root = q.root(base, Number(exponent.denominator));
  return root === null ? null : q.power(root, exponent.numerator);
}

function exactCall(node: Extract<Node, { kind: "call" }>, value: (child: Node) => Rational | null): Rational | null {
  const args: Rational[] = [];
  for (const argument of node.args) {
    const next = value(argument);
    if (next === null) return null;
    args.push(next);
  }
  const [a, b] = args;
  if (a === undefined) return null;
  switch (node.name) {
    case "sqrt":
      return q.root(a, 2);
    case "root":
      return b !== undefined && q.isInteger(b) && b.numerator > 0n && b.numerator <= 64n
        ? q.root(a, Number(b.numerator))
        : null;
    case "abs":
      return a.numerator < 0n ? q.negate(a) : a;
    case "floor":
      return q.fromInteger(q.floor(a));
    case "ceil":
      return q.fromInteger(-q.floor(q.negate(a)));
    case "sign":
      return q.fromInteger(a.numerator < 0n ? -1 : a.numerator > 0n ? 1 : 0);
    case "factorial":
      return q.isInteger(a) ? factorial(a.numerator) : null;
    case "gamma":
      return q.isInteger(a) && a.numerator > 0n ? factorial(a.numerator - 1n) : null;
    case "binomial":
      return b !== undefined && q.isInteger(a) && q.isInteger(b) ? binomial(a.numerator, b.numerator) : null;
    case "gcd":
    case "lcm":
      return args.every(q.isInteger) ? commonDivisor(args, node.name === "lcm") : null;
    case "max":
      return args.reduce((best, next) => (q.compare(next, best) > 0 ? next : best));
    case "min":
      return args.reduce((best, next) => (q.compare(next, best) < 0 ? next : best));
    case "mod":
      if (b === undefined || !q.isInteger(a) || !q.isInteger(b) || b.numerator === 0n) return null;
      return q.fromInteger(((a.numerator % b.numerator) + b.numerator) % b.numerator);
    case "logBase":
      return b === undefined ? null : exactLogarithm(a, b);
    case "re":
    case "conj":
      return a;
    case "im":
      return q.ZERO;
    case "exp":
      return a.numerator === 0n ? q.ONE : null;
    default:
      return null;
  }
}

function factorial(n: bigint): Rational | null {
  if (n < 0n || n > 9000n) return null;
  let product = 1n;
  for (let k = 2n; k <= n; k++) product *= k;
  return q.rational(product);
}

function binomial(n: bigint, k: bigint): Rational | null {
  if (k < 0n) return q.ZERO;
  if (n < 0n || n > 100000n) return null;
  if (k > n) return q.ZERO;
  const size = k > n - k ? n - k : k;
  if (size > 3000n) return null;
  let product = 1n;
  for (let j = 1n; j <= size; j++) product = (product * (n - size + j)) / j;
  return q.rational(product);
}

function commonDivisor(args: readonly Rational[], least: boolean): Rational | null {
  if (args.some((arg) => q.bitLength(arg.numerator) > 8192)) return null;
  let result = args[0]!.numerator;
  for (const { numerator } of args.slice(1)) {
    const divisor = q.greatestCommonDivisor(result, numerator);
    result = least ? (divisor === 0n ? 0n : (result * numerator) / divisor) : divisor;
    if (q.bitLength(result) > q.BIT_BUDGET) return null;
  }
  return q.rational(result < 0n ? -result : result);
}

/** log_base(x) when it is a small integer or its reciprocal, null otherwise. */
function exactLogarithm(base: Rational, x: Rational): Rational | null {
  if (base.numerator <= 0n || x.numerator <= 0n || q.equals(base, q.ONE)) return null;
  for (let n = -64n; n <= 64n; n++) {
    const power = q.power(base, n);
    if (power !== null && q.equals(power, x)) return q.fromInteger(n);
  }
  return null;
}

function exactSeries(
  node: Extract<Node, { kind: "series" }>,
  reading: Reading,
  bindings: Bindings,
  budget: Budget,
): Rational | null {
  if ((node.operation !== "sum" && node.operation !== "product") || node.variable === "") return null;
  const from = evaluate(node.from, reading, bindings, budget);
  const to = evaluate(node.to, reading, bindings, budget);
  if (from === null || to === null || !q.isInteger(from) || !q.isInteger(to)) return null;
  if (to.numerator - from.numerator > 2000n) return null;
  let total: Rational | null = node.operation === "sum" ? q.ZERO : q.ONE;
  const inner = new Map(bindings ?? []);
  for (let k = from.numerator; k <= to.numerator; k++) {
    inner.set(node.variable, q.fromInteger(k));
    const term = evaluate(node.body, reading, inner, budget);
    if (term === null) return null;
    total = charge(node.operation === "sum" ? q.add(total, term) : q.multiply(total, term), budget);
    if (total === null) return null;
  }
  return total;
}
