import type { Complex } from "../evaluate/complex.js";
import * as c from "../evaluate/complex.js";
import { exactValue, PLAIN_READING, type Reading } from "../evaluate/exact.js";
import { evaluateAt, isDefined, type Point, pseudoRandom } from "../evaluate/numeric.js";
import * as q from "../evaluate/rational.js";
import type { Node } from "../parse/nodes.js";
import { type Facts, factsOf } from "./facts.js";
import { sameStructure } from "./structure.js";

/** How numbers are compared. */
export interface Tolerance {
  /** Decimals to which a number written as a decimal is compared. */
  readonly floatRounding: number;
  /** Significant digits to which computed values must agree. */
  readonly numericPrecision: number;
}

/** Whether two expressions have the same value: exactly where possible, else at seeded sample points. */
export function equalValues(gold: Node, prediction: Node, tolerance: Tolerance): boolean {
  const a = stripQuantity(gold);
  const b = stripQuantity(prediction);
  if (a.kind === "number" && b.kind === "number")
    return equalNumbers(a.value, b.value, a.decimal || b.decimal, tolerance);
  const first = factsOf(a);
  const second = factsOf(b);
  for (const reading of readings(first, second)) {
    if (equalUnder(a, b, first, second, reading, tolerance)) return true;
  }
  return equalWithUnitAsSymbol(gold, prediction, tolerance);
}

/** `5 m` (a symbol) meets `5\text{ m}` (a unit). */
function equalWithUnitAsSymbol(gold: Node, prediction: Node, tolerance: Tolerance): boolean {
  if ((gold.kind === "quantity") === (prediction.kind === "quantity")) return false;
  const asProduct = (node: Node): Node =>
    node.kind === "quantity" && /^[a-zA-Z]$/.test(node.unit)
      ? { kind: "multiply", factors: [node.value, { kind: "symbol", name: node.unit }] }
      : node;
  const left = asProduct(gold);
  const right = asProduct(prediction);
  return (left !== gold || right !== prediction) && equalValues(left, right, tolerance);
}

export function stripQuantity(node: Node): Node {
  if (node.kind === "quantity") return stripQuantity(node.value);
  if (node.kind === "negate" && node.argument.kind === "quantity")
    return { kind: "negate", argument: stripQuantity(node.argument) };
  return node;
}

/**
 * The readings to try. A percent sign on one side only is read as a factor or as a unit, on both sides
 * alike; a logarithm without base is decimal or natural. Degrees are a unit: 90° is 90, not π/2.
 */
function readings(a: Facts, b: Facts): readonly Reading[] {
  const percents = a.hasPercent === b.hasPercent ? [false] : [false, true];
  const logarithms = a.hasBareLog || b.hasBareLog ? [false, true] : [false];
  if (percents.length === 1 && logarithms.length === 1) return PLAIN;
  return percents.flatMap((percentIsUnit) =>
    logarithms.map((naturalLog) => ({ ...PLAIN_READING, percentIsUnit, naturalLog })),
  );
}

const PLAIN: readonly Reading[] = [PLAIN_READING];

function equalUnder(a: Node, b: Node, factsA: Facts, factsB: Facts, reading: Reading, tolerance: Tolerance): boolean {
  const symbolic =
    factsA.symbols.size > 0 || factsB.symbols.size > 0 || factsA.hasUnknownFunction || factsB.hasUnknownFunction;
  if (symbolic) return equalFunctions(a, b, factsA, factsB, reading, tolerance);
  const exactA = exactValue(a, reading);
  const exactB = exactValue(b, reading);
  const decimal = isDecimal(a) || isDecimal(b);
  if (exactA !== null && exactB !== null) return equalNumbers(exactA, exactB, decimal, tolerance);
  return equalConstants(a, b, reading, decimal, tolerance);
}

/** Whether the whole answer is one number written as a decimal, and so perhaps rounded. */
export function isDecimal(node: Node): boolean {
  switch (node.kind) {
    case "number":
      return node.decimal;
    case "negate":
    case "percent":
    case "degrees":
      return isDecimal(node.argument);
    case "quantity":
      return isDecimal(node.value);
    case "multiply":
      // Scientific notation: 1.6 × 10^{-19}.
      return node.factors.length === 2 && isDecimal(node.factors[0]!) && isPowerOfTen(node.factors[1]!);
    default:
      return false;
  }
}

function isPowerOfTen(node: Node): boolean {
  return node.kind === "power" && node.base.kind === "number" && node.base.text === "10";
}

/**
 * Numbers are equal when they are the same rational; with a decimal on one side, when they agree after
 * rounding to `floatRounding` places and are close in proportion, so that 1e-9 is not 0 nor 2e-9.
 */
export function equalNumbers(a: q.Rational, b: q.Rational, decimal: boolean, tolerance: Tolerance): boolean {
  if (q.equals(a, b)) return true;
  if (!decimal) return false;
  const x = q.toNumber(a);
  const y = q.toNumber(b);
  if (!isProportionate(x, y, tolerance)) return false;
  if (q.bitLength(a.numerator) > 8192 || q.bitLength(b.numerator) > 8192) return false;
  return q.roundedTo(a, tolerance.floatRounding) === q.roundedTo(b, tolerance.floatRounding);
}

function isProportionate(x: number, y: number, tolerance: Tolerance): boolean {
  const bound = 5 * 10 ** -Math.min(Math.max(tolerance.floatRounding, 0), 3);
  return Math.abs(x - y) <= bound * Math.max(Math.abs(x), Math.abs(y));
}

function pointFor(
  reading: Reading,
  symbols: ReadonlyMap<string, Complex>,
  real: boolean,
  seed: number,
  budget: Point["budget"],
): Point {
  return { reading, symbols, real, seed, budget };
}

/** Operations one comparison may take, over all its sample points. */
const MAX_STEPS = 40_000;

const NO_SYMBOLS: ReadonlyMap<string, Complex> = new Map();

function equalConstants(a: Node, b: Node, reading: Reading, decimal: boolean, tolerance: Tolerance): boolean {
  const budget = { steps: MAX_STEPS };
  let x = evaluateAt(a, pointFor(reading, NO_SYMBOLS, true, 1, budget));
  let y = evaluateAt(b, pointFor(reading, NO_SYMBOLS, true, 1, budget));
  if (Number.isNaN(x.re) || Number.isNaN(y.re)) {
    x = evaluateAt(a, pointFor(reading, NO_SYMBOLS, false, 1, budget));
    y = evaluateAt(b, pointFor(reading, NO_SYMBOLS, false, 1, budget));
  }
  if (!isDefined(x) || !isDefined(y)) return sameStructure(a, b) || (isInfinite(a) && isInfinite(b) && x.re === y.re);
  if (close(x, y, tolerance)) return true;
  if (!decimal || x.im !== 0 || y.im !== 0 || !isProportionate(x.re, y.re, tolerance)) return false;
  const scale = 10 ** tolerance.floatRounding;
  return Math.round(x.re * scale) === Math.round(y.re * scale);
}

function isInfinite(node: Node): boolean {
  if (node.kind === "negate") return isInfinite(node.argument);
  return node.kind === "constant" && node.name === "infinity";
}

/** Whether two computed values agree up to their rounding errors. */
export function close(x: Complex, y: Complex, tolerance: Tolerance): boolean {
  const difference = c.size({ re: x.re - y.re, im: x.im - y.im, error: 0 });
  const relative = 10 ** -Math.min(12, Math.max(1, tolerance.numericPrecision - 3));
  return difference <= 8 * (x.error + y.error) || difference <= relative * Math.max(c.size(x), c.size(y));
}

const POINTS_NEEDED = 4;
const ATTEMPTS = 14;

/**
 * Expressions with symbols are equal when they agree at sample points: real points with mixed signs
 * where both are defined as real functions, else complex points.
 */
function equalFunctions(
  a: Node,
  b: Node,
  factsA: Facts,
  factsB: Facts,
  reading: Reading,
  tolerance: Tolerance,
): boolean {
  if (sameStructure(a, b)) return true;
  const names = [...new Set([...factsA.symbols, ...factsB.symbols])];
  if (names.length > 64) return false;
  const integers = new Set([...factsA.integers, ...factsB.integers]);
  const modes = factsA.hasImaginary || factsB.hasImaginary ? [false] : [true, false];
  const budget = { steps: MAX_STEPS };
  for (const real of modes) {
    let agreed = 0;
    for (let attempt = 0; attempt < ATTEMPTS && agreed < POINTS_NEEDED && budget.steps > 0; attempt++) {
      const symbols = samplePoint(names, integers, attempt, real || attempt % 2 === 0);
      const x = evaluateAt(a, pointFor(reading, symbols, real, attempt, budget));
      const y = evaluateAt(b, pointFor(reading, symbols, real, attempt, budget));
      if (!isDefined(x) || !isDefined(y)) continue;
      // A point where cancellation leaves no digits decides nothing.
      if (
        x.error + y.error > 1e-6 * Math.max(c.size(x), c.size(y), 1e-300) &&
        c.size(x) > 0 &&
        c.size(y) > 0 &&
        close(x, y, tolerance)
      )
        continue;
      if (!close(x, y, tolerance)) return false;
      agreed++;
    }
    if (agreed > 0) return true;
  }
  return false;
}

/** The same point for both sides: a value for each symbol, fixed by its name and the attempt. */
export function samplePoint(
  names: readonly string[],
  integers: ReadonlySet<string>,
  attempt: number,
  real: boolean,
): Map<string, Complex> {
  const symbols = new Map<string, Complex>();
  // Later attempts widen the range and, every third time, make all values positive.
  const scale = [1, 1, 3, 0.5, 7, 2, 20, 1][attempt % 8]!;
  for (const name of names) {
    const value = pseudoRandom(name, attempt * 7919 + 17);
    if (integers.has(name)) symbols.set(name, c.complex(2 + Math.floor(Math.abs(value) * 3) + (attempt % 3)));
    else {
      const re = scale * (attempt % 3 === 2 ? Math.abs(value) : value);
      symbols.set(name, real ? c.complex(re) : c.complex(re, pseudoRandom(`${name}~`, attempt + 3)));
    }
  }
  return symbols;
}
