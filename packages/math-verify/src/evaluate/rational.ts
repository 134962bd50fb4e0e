/** Exact rational numbers on BigInt: `denominator` is positive and both are coprime. */
export interface Rational {
  readonly numerator: bigint;
  readonly denominator: bigint;
}

/** Largest size of an exact numerator or denominator; beyond it evaluation falls back to doubles. */
export const BIT_BUDGET = 1 << 15;

const SMALL = 1n << 62n;

export function greatestCommonDivisor(a: bigint, b: bigint): bigint {
  let x = a < 0n ? -a : a;
  let y = b < 0n ? -b : b;
  while (y !== 0n) [x, y] = [y, x % y];
  return x;
}

/** Number of bits of |value|, to within four bits; cheap for small values. */
export function bitLength(value: bigint): number {
  const magnitude = value < 0n ? -value : value;
  return magnitude < SMALL ? 62 : magnitude.toString(16).length * 4;
}

/** The reduced fraction, or null when the denominator is zero or the bit budget is exceeded. */
export function rational(numerator: bigint, denominator = 1n): Rational | null {
  if (denominator === 0n) return null;
  if (denominator === 1n) {
    return bitLength(numerator) > BIT_BUDGET ? null : { numerator, denominator };
  }
  const divisor = greatestCommonDivisor(numerator, denominator);
  const sign = denominator < 0n ? -1n : 1n;
  const n = (sign * numerator) / divisor;
  const d = (sign * denominator) / divisor;
  return bitLength(n) > BIT_BUDGET || bitLength(d) > BIT_BUDGET ? null : { numerator: n, denominator: d };
}

export const ZERO: Rational = { numerator: 0n, denominator: 1n };
export const ONE: Rational = { numerator: 1n, denominator: 1n };

export function fromInteger(value: number | bigint): Rational {
  return { numerator: BigInt(value), denominator: 1n };
}

export function add(a: Rational, b: Rational): Rational | null {
  if (a.denominator === 1n && b.denominator === 1n) return rational(a.numerator + b.numerator);
  return rational(a.numerator * b.denominator + b.numerator * a.denominator, a.denominator * b.denominator);
}

export function negate(a: Rational): Rational {
  return { numerator: -a.numerator, denominator: a.denominator };
}

export function multiply(a: Rational, b: Rational): Rational | null {
  return rational(a.numerator * b.numerator, a.denominator * b.denominator);
}

export function divide(a: Rational, b: Rational): Rational | null {
  return rational(a.numerator * b.denominator, a.denominator * b.numerator);
}

export function isInteger(a: Rational): boolean {
  return a.denominator === 1n;
}

export function equals(a: Rational, b: Rational): boolean {
  return a.numerator === b.numerator && a.denominator === b.denominator;
}

/** Negative, zero or positive as a is below, equal to or above b. */
export function compare(a: Rational, b: Rational): number {
  const left = a.numerator * b.denominator;
  const right = b.numerator * a.denominator;
  return left < right ? -1 : left > right ? 1 : 0;
}

/** a to an integer power, or null beyond the bit budget. */
export function power(a: Rational, exponent: bigint): Rational | null {
  if (exponent === 0n) return ONE;
  const size = exponent < 0n ? -exponent : exponent;
  if (a.numerator === 0n) return exponent > 0n ? ZERO : null;
  const unit = (a.numerator === 1n || a.numerator === -1n) && a.denominator === 1n;
  if (unit) return a.numerator === 1n || size % 2n === 0n ? ONE : fromInteger(-1);
  const bits = BigInt(Math.max(exactBits(a.numerator), exactBits(a.denominator)));
  if ((bits - 1n) * size > BigInt(BIT_BUDGET)) return null;
  const n = a.numerator ** size;
  const d = a.denominator ** size;
  return exponent > 0n ? { numerator: n, denominator: d } : rational(d, n);
}

function exactBits(value: bigint): number {
  return (value < 0n ? -value : value).toString(2).length;
}

/** The exact k-th root of a non-negative integer, or null when it is not an integer. */
function integerRoot(value: bigint, k: number): bigint | null {
  if (value < 2n) return value;
  const bits = exactBits(value);
  let x = 1n << BigInt(Math.ceil(bits / k));
  const order = BigInt(k);
  for (;;) {
    const next = ((order - 1n) * x + value / x ** (order - 1n)) / order;
    if (next >= x) break;
    x = next;
  }
  return x ** order === value ? x : null;
}

/** The exact real k-th root, or null when it is irrational, not real or too costly. */
export function root(a: Rational, k: number): Rational | null {
  if (k < 1 || k > 64 || bitLength(a.numerator) > 4096 || bitLength(a.denominator) > 4096) return null;
  const negative = a.numerator < 0n;
  if (negative && k % 2 === 0) return null;
  const n = integerRoot(negative ? -a.numerator : a.numerator, k);
  if (n === null) return null;
  const d = integerRoot(a.denominator, k);
  return d === null ? null : { numerator: negative ? -n : n, denominator: d };
}

export function floor(a: Rational): bigint {
  const quotient = a.numerator / a.denominator;
  return a.numerator < 0n && quotient * a.denominator !== a.numerator ? quotient - 1n : quotient;
}

/** Nearest double; correct also where numerator and denominator overflow a double. */
export function toNumber(a: Rational): number {
  if (a.denominator === 1n && a.numerator < SMALL && a.numerator > -SMALL) return Number(a.numerator);
  const shift = exactBits(a.numerator) - exactBits(a.denominator) - 64;
  if (shift > 1000 || shift < -1200) {
    if (shift > 1000) return a.numerator < 0n ? -Infinity : Infinity;
    return 0;
  }
  const scaled =
    shift >= 0 ? a.numerator / (a.denominator << BigInt(shift)) : (a.numerator << BigInt(-shift)) / a.denominator;
  // Two steps keep the scale factor itself inside the range of a double.
  const half = Math.trunc(shift / 2);
  return Number(scaled) * 2 ** half * 2 ** (shift - half);
}

/** Rounds to `digits` decimals (half away from zero) and returns the scaled integer. */
export function roundedTo(a: Rational, digits: number): bigint {
  const scale = 10n ** BigInt(digits);
  const doubled = 2n * (a.numerator < 0n ? -a.numerator : a.numerator) * scale + a.denominator;
  const magnitude = doubled / (2n * a.denominator);
  return a.numerator < 0n ? -magnitude : magnitude;
}

/** Parses `digits[.digits]` with a decimal exponent; null beyond the bit budget. */
export function fromDecimal(integer: string, fraction: string, exponent: number): Rational | null {
  if (integer.length + fraction.length > 20000 || Math.abs(exponent) > 20000) return null;
  const digits = BigInt(`${integer}${fraction}` || "0");
  const scale = exponent - fraction.length;
  return scale >= 0 ? rational(digits * 10n ** BigInt(scale)) : rational(digits, 10n ** BigInt(-scale));
}
