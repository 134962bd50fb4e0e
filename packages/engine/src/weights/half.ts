/** Conversions between float32 and the two 16-bit formats, as raw bits. */

export type FloatType = "float32" | "float16" | "bfloat16";

const bits = new Uint32Array(1);
const float = new Float32Array(bits.buffer);

function float16ToFloat32(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >>> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Rounds to nearest, ties to even, as PyTorch does; overflow gives infinity. */
function float32ToFloat16(value: number): number {
  float[0] = value;
  const source = bits[0]!;
  const sign = (source >>> 16) & 0x8000;
  const magnitude = source & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  // 65520 is half-way between the largest finite number and the next power.
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude >= 0x38800000) {
    const rebased = magnitude - 0x38000000;
    return sign | ((rebased + 0xfff + ((rebased >>> 13) & 1)) >>> 13);
  }
  // Subnormal: whole multiples of 2^-24.
  const scaled = Math.abs(float[0]!) * 2 ** 24;
  const floor = Math.floor(scaled);
  const rest = scaled - floor;
  return sign | (rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor);
}

function float32BitsToBfloat16(source: number): number {
  if ((source & 0x7fffffff) > 0x7f800000) return (source >>> 16) | 0x40;
  return ((source + 0x7fff + ((source >>> 16) & 1)) >>> 16) & 0xffff;
}

/** Widens 16-bit numbers; exact. */
export function widen(source: Uint16Array, type: "float16" | "bfloat16", target: Float32Array): void {
  if (type === "bfloat16") {
    const words = new Uint32Array(target.buffer, target.byteOffset, target.length);
    for (let index = 0; index < source.length; index++) words[index] = source[index]! << 16;
    return;
  }
  for (let index = 0; index < source.length; index++) target[index] = float16ToFloat32(source[index]!);
}

/** Index of the first number that is infinite or not a number; −1 if there is none. */
export function firstNotFinite(source: Uint16Array, type: "float16" | "bfloat16"): number {
  const exponent = type === "bfloat16" ? 0x7f80 : 0x7c00;
  return source.findIndex((half) => (half & exponent) === exponent);
}

/** Narrows to 16 bits: round to nearest, ties to even. */
export function narrow(source: Float32Array, type: "float16" | "bfloat16", target: Uint16Array): void {
  if (type === "bfloat16") {
    const words = new Uint32Array(source.buffer, source.byteOffset, source.length);
    for (let index = 0; index < source.length; index++) target[index] = float32BitsToBfloat16(words[index]!);
    return;
  }
  for (let index = 0; index < source.length; index++) target[index] = float32ToFloat16(source[index]!);
}
