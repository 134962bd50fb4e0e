import { ProtocolError } from "../errors.js";

/** Protocol-buffers wire types in use here; 3 and 4 (groups) do not occur. */
const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

const utf8Encoder = new TextEncoder();
const utf8Decoder = new TextDecoder("utf-8", { fatal: true });

/** Writes one message, field by field. Like protoc's proto3 output, callers leave default values out. */
export class ProtobufWriter {
  private buffer = new Uint8Array(256);
  private length = 0;

  private reserve(extra: number): void {
    if (this.length + extra <= this.buffer.length) return;
    const grown = new Uint8Array(Math.max(this.buffer.length * 2, this.length + extra));
    grown.set(this.buffer.subarray(0, this.length));
    this.buffer = grown;
  }

  /** An unsigned integer below 2^53, seven bits a byte. */
  private rawVarint(value: number): void {
    this.reserve(10);
    let rest = value;
    while (rest >= 0x80) {
      this.buffer[this.length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.buffer[this.length++] = rest;
  }

  private tag(field: number, wireType: number): void {
    this.rawVarint(field * 8 + wireType);
  }

  /** int32, int64, uint32, bool (0/1) and enum fields. Negative numbers take ten bytes, as the format demands. */
  varint(field: number, value: number): this {
    if (!Number.isSafeInteger(value))
      throw new ProtocolError(`protobuf field ${field}: ${value} is not a safe integer`);
    this.tag(field, VARINT);
    if (value >= 0) {
      this.rawVarint(value);
    } else {
      this.reserve(10);
      let rest = BigInt.asUintN(64, BigInt(value));
      while (rest >= 0x80n) {
        this.buffer[this.length++] = Number(rest & 0x7fn) | 0x80;
        rest >>= 7n;
      }
      this.buffer[this.length++] = Number(rest);
    }
    return this;
  }

  /** A packed repeated integer field; nothing for an empty list. */
  packedVarints(field: number, values: readonly number[]): this {
    if (values.length === 0) return this;
    const packed = new ProtobufWriter();
    for (const value of values) {
      if (!Number.isSafeInteger(value) || value < 0)
        throw new ProtocolError(`protobuf field ${field}: ${value} is not a dimension`);
      packed.rawVarint(value);
    }
    return this.bytes(field, packed.finish());
  }

  double(field: number, value: number): this {
    this.tag(field, FIXED64);
    this.reserve(8);
    new DataView(this.buffer.buffer).setFloat64(this.length, value, true);
    this.length += 8;
    return this;
  }

  bytes(field: number, value: Uint8Array): this {
    this.tag(field, BYTES);
    this.rawVarint(value.length);
    this.reserve(value.length);
    this.buffer.set(value, this.length);
    this.length += value.length;
    return this;
  }

  string(field: number, value: string): this {
    return this.bytes(field, utf8Encoder.encode(value));
  }

  message(field: number, write: (writer: ProtobufWriter) => void): this {
    const child = new ProtobufWriter();
    write(child);
    return this.bytes(field, child.finish());
  }

  /** The message; a view that stays valid as long as nothing more is written. */
  finish(): Uint8Array {
    return this.buffer.subarray(0, this.length);
  }
}

/** A field as it lies in the message. Integers come as `integer` (int64 sign restored), the rest as bytes. */
export interface ProtobufField {
  readonly number: number;
  readonly integer: number;
  readonly bytes: Uint8Array;
  readonly wireType: number;
}

const NO_BYTES = new Uint8Array(0);

/** Iterates over the fields of a message. Throws {@link ProtocolError} where the bytes end early or are malformed. */
export function* readFields(message: Uint8Array): Generator<ProtobufField> {
  let offset = 0;
  const varint = (): number => {
    let value = 0;
    let factor = 1;
    for (let count = 0; count < 10; count++) {
      const byte = message[offset++];
      if (byte === undefined) throw new ProtocolError("protobuf message is truncated inside a number");
      // Ten-byte numbers are negative int64: two's complement, so count down from 2^64.
      if (count === 9) return Number(BigInt.asIntN(64, (BigInt(byte) << 63n) | negativeLow(message, offset - 10)));
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
      factor *= 0x80;
    }
    throw new ProtocolError("protobuf number is longer than ten bytes");
  };
  const take = (length: number): Uint8Array => {
    if (offset + length > message.length) {
      throw new ProtocolError(
        `protobuf message is truncated: ${length} bytes promised, ${message.length - offset} left`,
      );
    }
    const bytes = message.subarray(offset, offset + length);
    offset += length;
    return bytes;
  };
  while (offset < message.length) {
    const tag = varint();
    const number = Math.floor(tag / 8);
    const wireType = tag % 8;
    if (number === 0) throw new ProtocolError("protobuf field number 0");
    switch (wireType) {
      case VARINT:
        yield { number, wireType, integer: varint(), bytes: NO_BYTES };
        break;
      case FIXED64:
        yield { number, wireType, integer: 0, bytes: take(8) };
        break;
      case BYTES:
        yield { number, wireType, integer: 0, bytes: take(varint()) };
        break;
      case FIXED32:
        yield { number, wireType, integer: 0, bytes: take(4) };
        break;
      default:
        throw new ProtocolError(`protobuf wire type ${wireType} in field ${number}`);
    }
  }
}

function negativeLow(message: Uint8Array, start: number): bigint {
  let value = 0n;
  for (let i = 8; i >= 0; i--) value = (value << 7n) | BigInt(message[start + i]! & 0x7f);
  return value;
}

export function fieldText(field: ProtobufField): string {
  try {
    return utf8Decoder.decode(field.bytes);
  } catch (error) {
    throw new ProtocolError(`protobuf field ${field.number} is not UTF-8`, { cause: error });
  }
}

export function fieldDouble(field: ProtobufField): number {
  if (field.bytes.length !== 8) throw new ProtocolError(`protobuf field ${field.number} is not a double`);
  return new DataView(field.bytes.buffer, field.bytes.byteOffset, 8).getFloat64(0, true);
}

/** A repeated integer field: packed or, as parsers must also accept, one by one. */
export function fieldIntegers(field: ProtobufField): number[] {
  if (field.wireType === VARINT) return [field.integer];
  const values: number[] = [];
  let value = 0;
  let factor = 1;
  for (const byte of field.bytes) {
    value += (byte & 0x7f) * factor;
    factor *= 0x80;
    if (byte < 0x80) {
      values.push(value);
      value = 0;
      factor = 1;
    }
  }
  if (factor !== 1) throw new ProtocolError(`protobuf field ${field.number}: packed numbers are truncated`);
  return values;
}
