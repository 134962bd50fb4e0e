import type { Node } from "../parse/nodes.js";
import type { Complex } from "./complex.js";
import * as c from "./complex.js";
import type { Reading } from "./exact.js";
import { toNumber } from "./rational.js";

/** Where an expression is evaluated. */
export interface Point {
  readonly reading: Reading;
  readonly symbols: ReadonlyMap<string, Complex>;
  /** Real functions only: an even root of a negative number is undefined, an odd one is real. */
  readonly real: boolean;
  /** Seed of the values of functions nothing is known of. */
  readonly seed: number;
  /** Operations left. */
  readonly budget: { steps: number };
}

const UNDEFINED: Complex = { re: Number.NaN, im: 0, error: 0 };
const PI = c.complex(Math.PI);
const CONSTANTS: Readonly<Record<"pi" | "e" | "i" | "infinity", Complex>> = {
  pi: PI,
  e: c.complex(Math.E),
  i: { re: 0, im: 1, error: 0 },
  infinity: { re: Infinity, im: 0, error: 0 },
};
const DEGREE = c.complex(Math.PI / 180);
const HUNDREDTH = c.complex(0.01);

export function isDefined(a: Complex): boolean {
  return Number.isFinite(a.re) && Number.isFinite(a.im);
}

/** The value of an expression at a point; NaN where it is undefined or not a number at all. */
export function evaluateAt(node: Node, point: Point): Complex {
  if (--point.budget.steps < 0) return UNDEFINED;
  switch (node.kind) {
    case "number":
      return c.complex(toNumber(node.value));
    case "symbol":
      return point.symbols.get(node.name) ?? UNDEFINED;
    case "constant":
      return CONSTANTS[node.name];
    case "negate":
      return c.negate(evaluateAt(node.argument, point));
    case "add":
      return node.terms.map((term) => evaluateAt(term, point)).reduce(c.add);
    case "multiply":
      return node.factors.map((factor) => evaluateAt(factor, point)).reduce(c.multiply);
    case "divide":
      return c.divide(evaluateAt(node.numerator, point), evaluateAt(node.denominator, point));
    case "power":
      return evaluatePower(node.base, node.exponent, point);
    case "percent":
      return point.reading.percentIsUnit
        ? evaluateAt(node.argument, point)
        : c.multiply(HUNDREDTH, evaluateAt(node.argument, point));
    case "degrees":
      return point.reading.degreesAreUnit
        ? evaluateAt(node.argument, point)
        : c.multiply(DEGREE, evaluateAt(node.argument, point));
    case "quantity":
      return evaluateAt(node.value, point);
    case "ratio":
      return node.parts.length === 2
        ? c.divide(evaluateAt(node.parts[0]!, point), evaluateAt(node.parts[1]!, point))
        : UNDEFINED;
    case "call":
      return evaluateCall(node, point);
    case "apply":
      return unknownFunction(node, point);
    case "series":
      return evaluateSeries(node, point);
    case "text":
      return point.symbols.get(`text ${node.value.toLowerCase()}`) ?? UNDEFINED;
    default:
      return UNDEFINED;
  }
}

function evaluatePower(baseNode: Node, exponentNode: Node, point: Point): Complex {
  const base = evaluateAt(baseNode, point);
  const exponent = evaluateAt(exponentNode, point);
  if (!point.real || base.im !== 0 || base.re >= 0 || exponent.im !== 0) return c.power(base, exponent);
  if (Number.isInteger(exponent.re)) return c.power(base, exponent);
  // The real value of a negative base under an odd root: (−8)^{1/3} = −2.
  const fraction = simpleFraction(exponentNode);
  if (fraction === null || fraction.denominator % 2 === 0) return UNDEFINED;
  const magnitude = c.power(c.negate(base), exponent);
  return fraction.numerator % 2 === 0 ? magnitude : c.negate(magnitude);
}

function simpleFraction(node: Node): { numerator: number; denominator: number } | null {
  if (node.kind === "negate") return simpleFraction(node.argument);
  if (node.kind === "divide" && node.numerator.kind === "number" && node.denominator.kind === "number") {
    const numerator = toNumber(node.numerator.value);
    const denominator = toNumber(node.denominator.value);
    return Number.isInteger(numerator) && Number.isInteger(denominator) ? { numerator, denominator } : null;
  }
  return null;
}

function evaluateCall(node: Extract<Node, { kind: "call" }>, point: Point): Complex {
  const trigonometric = TRIGONOMETRIC.has(node.name);
  const inner =
    trigonometric && point.reading.degreesAreUnit
      ? { ...point, reading: { ...point.reading, degreesAreUnit: false } }
      : point;
  const args = node.args.map((argument) => evaluateAt(argument, inner));
  const [a, b] = args;
  if (a === undefined) return UNDEFINED;
  switch (node.name) {
    case "sin":
      return c.sin(a);
    case "cos":
      return c.cos(a);
    case "tan":
      return c.divide(c.sin(a), c.cos(a));
    case "cot":
      return c.divide(c.cos(a), c.sin(a));
    case "sec":
      return c.divide(c.complex(1), c.cos(a));
    case "csc":
      return c.divide(c.complex(1), c.sin(a));
    case "arcsin":
      return realOnly(c.arcsin(a), point);
    case "arccos":
      return realOnly(c.arccos(a), point);
    case "arctan":
      return c.arctan(a);
    case "arccot":
      return c.subtract(c.complex(Math.PI / 2), c.arctan(a));
    case "arcsec":
      return realOnly(c.arccos(c.divide(c.complex(1), a)), point);
    case "arccsc":
      return realOnly(c.arcsin(c.divide(c.complex(1), a)), point);
    case "sinh":
      return c.sinh(a);
    case "cosh":
      return c.cosh(a);
    case "tanh":
      return c.divide(c.sinh(a), c.cosh(a));
    case "coth":
      return c.divide(c.cosh(a), c.sinh(a));
    case "sech":
      return c.divide(c.complex(1), c.cosh(a));
    case "csch":
      return c.divide(c.complex(1), c.sinh(a));
    case "arcsinh":
      return c.arcsinh(a);
    case "arccosh":
      return realOnly(c.arccosh(a), point);
    case "arctanh":
      return realOnly(c.arctanh(a), point);
    case "log":
      return realOnly(point.reading.naturalLog ? c.log(a) : c.divide(c.log(a), c.complex(Math.LN10)), point);
    case "ln":
      return realOnly(c.log(a), point);
    case "logBase":
      return b === undefined ? UNDEFINED : realOnly(c.divide(c.log(b), c.log(a)), point);
    case "exp":
      return c.exp(a);
    case "sqrt":
      return realOnly(c.squareRoot(a), point);
    case "root":
      return b === undefined ? UNDEFINED : evaluateRoot(a, b, point);
    case "abs":
      return c.complex(c.size(a), 0, a.error);
    case "floor":
    case "ceil":
      return evaluateRounding(node.name, a);
    case "factorial":
      return a.im === 0 && a.re > -1 && a.re < 171 ? approximate(c.gamma(a.re + 1)) : UNDEFINED;
    case "gamma":
      return a.im === 0 && a.re < 171 ? approximate(c.gamma(a.re)) : UNDEFINED;
    case "binomial":
      return b === undefined ? UNDEFINED : binomial(a, b);
    case "gcd":
    case "lcm":
      return args.every((arg) => arg.im === 0 && Number.isInteger(arg.re))
        ? c.complex(
            commonDivisor(
              args.map((arg) => arg.re),
              node.name === "lcm",
            ),
          )
        : UNDEFINED;
    case "max":
      return args.reduce((best, next) => (next.re > best.re ? next : best));
    case "min":
      return args.reduce((best, next) => (next.re < best.re ? next : best));
    case "mod":
      return b === undefined || a.im !== 0 || b.im !== 0 ? UNDEFINED : c.complex(a.re - b.re * Math.floor(a.re / b.re));
    case "re":
      return c.complex(a.re, 0, a.error);
    case "im":
      return c.complex(a.im, 0, a.error);
    case "conj":
      return { re: a.re, im: -a.im, error: a.error };
    case "arg":
      return c.complex(Math.atan2(a.im, a.re), 0, a.error / Math.max(c.size(a), 1e-300));
    case "sign":
      return c.complex(Math.sign(a.re));
    case "det":
      return UNDEFINED;
    default:
      return node.name satisfies never;
  }
}

const TRIGONOMETRIC = new Set(["sin", "cos", "tan", "cot", "sec", "csc"]);

/** In real arithmetic a value off the real line is no value. */
function realOnly(a: Complex, point: Point): Complex {
  return point.real && a.im !== 0 ? UNDEFINED : a;
}

function approximate(value: number): Complex {
  return c.complex(value, 0, Math.abs(value) * 1e-12);
}

function evaluateRoot(a: Complex, degree: Complex, point: Point): Complex {
  if (point.real && a.im === 0 && a.re < 0) {
    if (Number.isInteger(degree.re) && Math.abs(degree.re % 2) === 1) {
      return c.negate(c.power(c.negate(a), c.divide(c.complex(1), degree)));
    }
    return UNDEFINED;
  }
  return c.power(a, c.divide(c.complex(1), degree));
}

function evaluateRounding(name: "floor" | "ceil", a: Complex): Complex {
  if (a.im !== 0) return UNDEFINED;
  const nearest = Math.round(a.re);
  // Within rounding error of an integer, the integer is meant.
  if (Math.abs(a.re - nearest) <= 16 * a.error + 1e-15) return { re: nearest, im: 0, error: 0 };
  return { re: name === "floor" ? Math.floor(a.re) : Math.ceil(a.re), im: 0, error: 0 };
}

function binomial(n: Complex, k: Complex): Complex {
  if (n.im !== 0 || k.im !== 0) return UNDEFINED;
  if (Number.isInteger(k.re) && k.re >= 0 && k.re <= 60) {
    let product = c.complex(1);
    for (let j = 0; j < k.re; j++)
      product = c.divide(c.multiply(product, c.subtract(n, c.complex(j))), c.complex(j + 1));
    return product;
  }
  return approximate(c.gamma(n.re + 1) / (c.gamma(k.re + 1) * c.gamma(n.re - k.re + 1)));
}

function commonDivisor(values: readonly number[], least: boolean): number {
  const gcd = (a: number, b: number): number => {
    let [x, y] = [Math.abs(a), Math.abs(b)];
    while (y > 0) [x, y] = [y, x % y];
    return x;
  };
  return values.reduce((total, next) => (least ? Math.abs(total * next) / (gcd(total, next) || 1) : gcd(total, next)));
}

function evaluateSeries(node: Extract<Node, { kind: "series" }>, point: Point): Complex {
  if ((node.operation !== "sum" && node.operation !== "product") || node.variable === "")
    return unknownSeries(node, point);
  const from = evaluateAt(node.from, point);
  const to = evaluateAt(node.to, point);
  if (!Number.isInteger(from.re) || from.im !== 0) return unknownSeries(node, point);
  if (!Number.isInteger(to.re) || to.im !== 0 || to.re - from.re > 500) return unknownSeries(node, point);
  const symbols = new Map(point.symbols);
  let total = node.operation === "sum" ? c.complex(0) : c.complex(1);
  for (let k = from.re; k <= to.re; k++) {
    symbols.set(node.variable, { re: k, im: 0, error: 0 });
    const term = evaluateAt(node.body, { ...point, symbols });
    total = node.operation === "sum" ? c.add(total, term) : c.multiply(total, term);
  }
  return total;
}

/** An integral, or a sum without countable bounds, is opaque: a function of its bounds and body. */
function unknownSeries(node: Extract<Node, { kind: "series" }>, point: Point): Complex {
  const symbols = new Map(point.symbols);
  if (node.variable !== "") symbols.set(node.variable, c.complex(1.37));
  const inner = { ...point, symbols };
  const parts = [node.from, node.to, node.body].map((part) => evaluateAt(part, inner));
  return hashed(node.operation, parts, point);
}

function unknownFunction(node: Extract<Node, { kind: "apply" }>, point: Point): Complex {
  return hashed(
    node.name,
    node.args.map((argument) => evaluateAt(argument, point)),
    point,
  );
}

/** A fixed pseudo-random value for a name and arguments; equal arguments (to 9 digits) give equal values. */
function hashed(name: string, args: readonly Complex[], point: Point): Complex {
  let key = name;
  for (const argument of args) {
    if (Number.isNaN(argument.re)) return UNDEFINED;
    key += `|${significant(argument.re)},${significant(argument.im)}`;
  }
  return c.complex(pseudoRandom(key, point.seed));
}

function significant(value: number): string {
  return Math.abs(value) < 1e-12 ? "0" : value.toPrecision(9);
}

/** A reproducible number with magnitude in [0.4, 2.4) and either sign. */
export function pseudoRandom(key: string, seed: number): number {
  let hash = (0x811c9dc5 ^ seed) >>> 0;
  for (let index = 0; index < key.length; index++) {
    hash = Math.imul(hash ^ key.charCodeAt(index), 0x01000193) >>> 0;
  }
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 0;
  hash = Math.imul(hash ^ (hash >>> 12), 0x297a2d39) >>> 0;
  hash = (hash ^ (hash >>> 15)) >>> 0;
  const magnitude = 0.4 + (2 * (hash >>> 1)) / 2 ** 31;
  return (hash & 1) === 1 ? -magnitude : magnitude;
}
