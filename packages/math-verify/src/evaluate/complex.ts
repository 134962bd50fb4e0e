/** A complex double with a running bound of its absolute rounding error. */
export interface Complex {
  readonly re: number;
  readonly im: number;
  readonly error: number;
}

const UNIT = 2 ** -52;

export function complex(re: number, im = 0, error?: number): Complex {
  return { re, im, error: error ?? (Math.abs(re) + Math.abs(im)) * UNIT };
}

export function size(a: Complex): number {
  return a.im === 0 ? Math.abs(a.re) : Math.hypot(a.re, a.im);
}

function rounded(re: number, im: number, propagated: number): Complex {
  return { re, im, error: propagated + (Math.abs(re) + Math.abs(im)) * UNIT };
}

export function add(a: Complex, b: Complex): Complex {
  return rounded(a.re + b.re, a.im + b.im, a.error + b.error);
}

export function subtract(a: Complex, b: Complex): Complex {
  return rounded(a.re - b.re, a.im - b.im, a.error + b.error);
}

export function negate(a: Complex): Complex {
  return { re: -a.re, im: -a.im, error: a.error };
}

export function multiply(a: Complex, b: Complex): Complex {
  const propagated = size(a) * b.error + size(b) * a.error;
  if (a.im === 0 && b.im === 0) return rounded(a.re * b.re, 0, propagated);
  return rounded(a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re, propagated + size(a) * size(b) * UNIT);
}

/** a / b; NaN where b is zero within its error. */
export function divide(a: Complex, b: Complex): Complex {
  const magnitude = size(b);
  if (magnitude <= 4 * b.error) return { re: Number.NaN, im: 0, error: 0 };
  const propagated = a.error / magnitude + (size(a) * b.error) / magnitude / magnitude;
  if (a.im === 0 && b.im === 0) return rounded(a.re / b.re, 0, propagated);
  // Scaled, so that neither tiny nor huge divisors overflow.
  const re = b.re / magnitude;
  const im = b.im / magnitude;
  return rounded(
    (a.re * re + a.im * im) / magnitude,
    (a.im * re - a.re * im) / magnitude,
    propagated + (size(a) / magnitude) * UNIT,
  );
}

export function exp(a: Complex): Complex {
  const scale = Math.exp(a.re);
  return rounded(
    scale * Math.cos(a.im),
    a.im === 0 ? 0 : scale * Math.sin(a.im),
    scale * (a.error + UNIT * (1 + Math.abs(a.re))),
  );
}

/** Principal logarithm; NaN at zero. */
export function log(a: Complex): Complex {
  const magnitude = size(a);
  if (magnitude <= 4 * a.error) return { re: Number.NaN, im: 0, error: 0 };
  return rounded(
    Math.log(magnitude),
    a.im === 0 ? (a.re < 0 ? Math.PI : 0) : Math.atan2(a.im, a.re),
    a.error / magnitude + UNIT,
  );
}

export function squareRoot(a: Complex): Complex {
  const magnitude = size(a);
  if (magnitude <= 4 * a.error) return { re: 0, im: 0, error: Math.sqrt(magnitude + a.error) };
  const root = Math.sqrt(magnitude);
  const propagated = a.error / root;
  if (a.im === 0) return a.re >= 0 ? rounded(root, 0, propagated) : rounded(0, root, propagated);
  const half = Math.atan2(a.im, a.re) / 2;
  return rounded(root * Math.cos(half), root * Math.sin(half), propagated + root * UNIT);
}

/** Principal power. */
export function power(a: Complex, b: Complex): Complex {
  if (b.im === 0 && Number.isInteger(b.re) && Math.abs(b.re) <= 64 && b.error < 1e-9) return integerPower(a, b.re);
  if (a.re === 0 && a.im === 0) return b.re > 0 ? complex(0) : { re: Number.NaN, im: 0, error: 0 };
  if (a.im === 0 && b.im === 0 && a.re > 0) {
    const value = a.re ** b.re;
    return rounded(
      value,
      0,
      Math.abs(value) * ((Math.abs(b.re) * a.error) / a.re + Math.abs(Math.log(a.re)) * b.error + 2 * UNIT),
    );
  }
  return exp(multiply(b, log(a)));
}

function integerPower(a: Complex, exponent: number): Complex {
  let result = complex(1);
  let square = a;
  for (let n = Math.abs(exponent); n > 0; n = Math.floor(n / 2)) {
    if (n % 2 === 1) result = multiply(result, square);
    if (n > 1) square = multiply(square, square);
  }
  return exponent < 0 ? divide(complex(1), result) : result;
}

const I = complex(0, 1);
const ONE = complex(1);
const HALF = complex(0.5);

export function sin(a: Complex): Complex {
  if (a.im === 0) return rounded(Math.sin(a.re), 0, a.error * Math.abs(Math.cos(a.re)) + a.error * a.error + UNIT);
  const propagated = a.error * Math.cosh(a.im);
  return rounded(Math.sin(a.re) * Math.cosh(a.im), Math.cos(a.re) * Math.sinh(a.im), propagated);
}

export function cos(a: Complex): Complex {
  if (a.im === 0) return rounded(Math.cos(a.re), 0, a.error * Math.abs(Math.sin(a.re)) + a.error * a.error + UNIT);
  const propagated = a.error * Math.cosh(a.im);
  return rounded(Math.cos(a.re) * Math.cosh(a.im), -Math.sin(a.re) * Math.sinh(a.im), propagated);
}

export function sinh(a: Complex): Complex {
  return multiply(HALF, subtract(exp(a), exp(negate(a))));
}

export function cosh(a: Complex): Complex {
  return multiply(HALF, add(exp(a), exp(negate(a))));
}

/** arcsin z = −i log(iz + √(1−z²)). */
export function arcsin(a: Complex): Complex {
  if (a.im === 0 && Math.abs(a.re) <= 1) {
    const slope = Math.sqrt(Math.max(1 - a.re * a.re, a.error, UNIT));
    return rounded(Math.asin(a.re), 0, a.error / slope + UNIT);
  }
  return multiply(negate(I), log(add(multiply(I, a), squareRoot(subtract(ONE, multiply(a, a))))));
}

export function arccos(a: Complex): Complex {
  return subtract(complex(Math.PI / 2), arcsin(a));
}

export function arctan(a: Complex): Complex {
  if (a.im === 0) return rounded(Math.atan(a.re), 0, a.error / (1 + a.re * a.re) + UNIT);
  const left = log(subtract(ONE, multiply(I, a)));
  const right = log(add(ONE, multiply(I, a)));
  return multiply(complex(0, 0.5), subtract(left, right));
}

export function arcsinh(a: Complex): Complex {
  return log(add(a, squareRoot(add(multiply(a, a), ONE))));
}

export function arccosh(a: Complex): Complex {
  return log(add(a, multiply(squareRoot(add(a, ONE)), squareRoot(subtract(a, ONE)))));
}

export function arctanh(a: Complex): Complex {
  return multiply(HALF, log(divide(add(ONE, a), subtract(ONE, a))));
}

const LANCZOS = [
  0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
  12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
];

/** Gamma function of a real number (Lanczos), accurate to about 1e-13. */
export function gamma(x: number): number {
  if (x < 0.5) return Math.PI / (Math.sin(Math.PI * x) * gamma(1 - x));
  let sum = LANCZOS[0]!;
  for (let k = 1; k < 9; k++) sum += LANCZOS[k]! / (x - 1 + k);
  const t = x + 6.5;
  return Math.sqrt(2 * Math.PI) * t ** (x - 0.5) * Math.exp(-t) * sum;
}
