/**
 * Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011).
 * Number n of a stream is a pure function of (seed, stream, n): nothing is carried from draw to draw but the counter, so
 * what one sequence draws does not depend on any other.
 */

const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;
const ROUNDS = 10;
const TWO_TO_32 = 2 ** 32;

/** Upper 32 bits of the product of two 32-bit numbers. In signed 32-bit arithmetic throughout: several times as fast. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = (Math.imul(aHigh, bLow) + (Math.imul(aLow, bLow) >>> 16)) | 0;
  const middleLow = ((middle & 0xffff) + Math.imul(aLow, bHigh)) | 0;
  return (Math.imul(aHigh, bHigh) + (middle >>> 16) + (middleLow >>> 16)) | 0;
}

/**
 * One block of Philox4x32-10: replaces the counter (four words) by four random words.
 * @param counter Four unsigned 32-bit words; overwritten.
 */
export function philox(counter: Uint32Array, key0: number, key1: number): void {
  let c0 = counter[0]! | 0;
  let c1 = counter[1]! | 0;
  let c2 = counter[2]! | 0;
  let c3 = counter[3]! | 0;
  let k0 = key0 | 0;
  let k1 = key1 | 0;
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0);
    const low0 = Math.imul(MULTIPLIER_0, c0);
    const high1 = multiplyHigh(MULTIPLIER_1, c2);
    const low1 = Math.imul(MULTIPLIER_1, c2);
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 = (k0 + WEYL_0) | 0;
    k1 = (k1 + WEYL_1) | 0;
  }
  counter[0] = c0;
  counter[1] = c1;
  counter[2] = c2;
  counter[3] = c3;
}

/** Throws unless a seed can be told apart from every other one: a whole number from 0 to 2^53 − 1. */
export function assertSeed(seed: number): void {
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new RangeError(`The seed must be a whole number from 0 to ${Number.MAX_SAFE_INTEGER}, not ${seed}`);
  }
}

/**
 * The stream (seed, stream): key = the seed's low and high word, counter = (block, block's high word, stream, 0). Each
 * block gives two uniform numbers of 53 bits: words (0, 1) and (2, 3), as ((a >>> 5) · 2^26 + (b >>> 6)) / 2^53.
 */
export class RandomStream {
  readonly #key0: number;
  readonly #key1: number;
  readonly #stream: number;
  readonly #block = new Uint32Array(4);
  #drawn = 0;

  constructor(seed: number, stream: number) {
    assertSeed(seed);
    this.#key0 = seed >>> 0;
    this.#key1 = Math.floor(seed / TWO_TO_32);
    this.#stream = stream >>> 0;
  }

  /** The next number in [0, 1). */
  next(): number {
    const half = this.#drawn % 2;
    const block = this.#block;
    if (half === 0) {
      const index = this.#drawn / 2;
      block[0] = index;
      block[1] = Math.floor(index / TWO_TO_32);
      block[2] = this.#stream;
      block[3] = 0;
      philox(block, this.#key0, this.#key1);
    }
    this.#drawn++;
    return ((block[2 * half]! >>> 5) * 67108864 + (block[2 * half + 1]! >>> 6)) / 9007199254740992;
  }

  /** Fills an array from a normal distribution with mean 0 (Box–Muller; u is taken from (0, 1]). */
  fillNormal(target: Float32Array, standardDeviation: number): void {
    for (let index = 0; index < target.length; index += 2) {
      const radius = standardDeviation * Math.sqrt(-2 * Math.log(1 - this.next()));
      const angle = 2 * Math.PI * this.next();
      target[index] = radius * Math.cos(angle);
      if (index + 1 < target.length) target[index + 1] = radius * Math.sin(angle);
    }
  }
}
