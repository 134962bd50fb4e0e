import { ProtocolError } from "../errors.js";
import type { NumberArray } from "../protocol/tensors.js";

/** Element types on the wire, with the protobuf enum's numbers. */
export const DTYPE = { unspecified: 0, float32: 1, int64: 2, int32: 3, bfloat16: 4 } as const;

/** The wire is little-endian; so are all platforms Node supports with typed arrays except s390x, which is refused. */
const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
if (!LITTLE_ENDIAN) throw new Error("@critique-grpo/tinker needs a little-endian platform");

function viewBytes(array: Float32Array | Int32Array | BigInt64Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

export function float32Bytes(values: NumberArray): Uint8Array {
  return viewBytes(values instanceof Float32Array ? values : Float32Array.from(values));
}

export function int32Bytes(values: NumberArray): Uint8Array {
  return viewBytes(values instanceof Int32Array ? values : Int32Array.from(values));
}

export function int64Bytes(values: NumberArray): Uint8Array {
  // Two 32-bit words each: several times as fast as BigInt for token ids.
  const words = new Int32Array(values.length * 2);
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    words[2 * i] = value | 0;
    words[2 * i + 1] = value === (value | 0) ? value >> 31 : Math.floor(value / 2 ** 32);
    if (value !== (value | 0)) words[2 * i] = value - Math.floor(value / 2 ** 32) * 2 ** 32;
  }
  return viewBytes(words);
}

/** Copies, because a protobuf payload rarely lies on a four-byte boundary. (A Buffer's own slice would not copy.) */
function aligned(bytes: Uint8Array, elementSize: number, what: string): ArrayBuffer {
  if (bytes.length % elementSize !== 0) {
    throw new ProtocolError(`${what}: ${bytes.length} bytes are not a whole number of ${elementSize}-byte elements`);
  }
  return Uint8Array.prototype.slice.call(bytes).buffer;
}

export function float32FromBytes(bytes: Uint8Array): Float32Array {
  return new Float32Array(aligned(bytes, 4, "float32 data"));
}

export function int32FromBytes(bytes: Uint8Array): Int32Array {
  return new Int32Array(aligned(bytes, 4, "int32 data"));
}

/** Int32Array where all values fit (token ids do), else Float64Array; beyond ±2^53 precision is lost. */
export function int64FromBytes(bytes: Uint8Array): Int32Array | Float64Array {
  const words = new Int32Array(aligned(bytes, 8, "int64 data"));
  const length = words.length / 2;
  const narrow = new Int32Array(length);
  for (let i = 0; i < length; i++) {
    const low = words[2 * i]!;
    if (words[2 * i + 1] !== low >> 31) {
      return Float64Array.from({ length }, (_, j) => words[2 * j + 1]! * 2 ** 32 + (words[2 * j]! >>> 0));
    }
    narrow[i] = low;
  }
  return narrow;
}

/** bfloat16 is the upper half of a float32. */
export function bfloat16FromBytes(bytes: Uint8Array): Float32Array {
  const halves = new Uint16Array(aligned(bytes, 2, "bfloat16 data"));
  const words = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) words[i] = halves[i]! << 16;
  return new Float32Array(words.buffer);
}

/** Decodes by the enum number; int32 widens to int64 and bfloat16 to float32, as clients expect. */
export function numbersFromBytes(bytes: Uint8Array, dtype: number): { data: NumberArray; dtype: "float32" | "int64" } {
  switch (dtype) {
    case DTYPE.float32:
      return { data: float32FromBytes(bytes), dtype: "float32" };
    case DTYPE.int64:
      return { data: int64FromBytes(bytes), dtype: "int64" };
    case DTYPE.int32:
      return { data: int32FromBytes(bytes), dtype: "int64" };
    case DTYPE.bfloat16:
      return { data: bfloat16FromBytes(bytes), dtype: "float32" };
    default:
      throw new ProtocolError(`unknown tensor element type ${dtype}`);
  }
}

export function elementSize(dtype: number): number {
  switch (dtype) {
    case DTYPE.float32:
    case DTYPE.int32:
      return 4;
    case DTYPE.int64:
      return 8;
    case DTYPE.bfloat16:
      return 2;
    default:
      throw new ProtocolError(`unknown tensor element type ${dtype}`);
  }
}
