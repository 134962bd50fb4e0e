/** The few protobuf encodings that event files need: fields of a message, one after another. */

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

/** A message from its fields. */
export function message(...fields: readonly Uint8Array[]): Buffer {
  return Buffer.concat(fields);
}

/** A submessage, a string or bytes. */
export function bytesField(number: number, value: Uint8Array | string): Buffer {
  const content = typeof value === "string" ? Buffer.from(value) : value;
  return Buffer.concat([key(number, BYTES), varint(content.length), content]);
}

/** Whole numbers from 0 to 2⁵³ − 1, enums and booleans. */
export function varintField(number: number, value: number): Buffer {
  return Buffer.concat([key(number, VARINT), varint(value)]);
}

export function doubleField(number: number, value: number): Buffer {
  const content = Buffer.alloc(8);
  content.writeDoubleLE(value);
  return Buffer.concat([key(number, FIXED64), content]);
}

export function floatField(number: number, value: number): Buffer {
  const content = Buffer.alloc(4);
  content.writeFloatLE(value);
  return Buffer.concat([key(number, FIXED32), content]);
}

function key(number: number, wireType: number): Buffer {
  return varint(number * 8 + wireType);
}

function varint(value: number): Buffer {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`a varint must be a whole number from 0 to ${Number.MAX_SAFE_INTEGER}; it is ${value}`);
  }
  const bytes: number[] = [];
  let rest = value;
  // Not by shifts: those are of 32 bits.
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) + 0x80);
  bytes.push(rest);
  return Buffer.from(bytes);
}
