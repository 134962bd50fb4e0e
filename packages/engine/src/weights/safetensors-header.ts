/** The header of a safetensors file: u64 length, then JSON {name: {dtype, shape, data_offsets}, __metadata__}. */

export interface TensorEntry {
  readonly name: string;
  /** As the file spells it: F32, F16, BF16, I64, … */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Bytes from the start of the data section. */
  readonly start: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: Readonly<Record<string, string>>;
  /** Where the data section starts in the file. */
  readonly dataStart: number;
}

/** Bytes an element; what the engine does not read is listed too, so that the message can be about the tensor. */
const ELEMENT_BYTES: Readonly<Record<string, number>> = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
  U16: 2,
  I16: 2,
  F16: 2,
  BF16: 2,
  U32: 4,
  I32: 4,
  F32: 4,
  U64: 8,
  I64: 8,
  F64: 8,
};

/** The limit of the reference implementation. */
export const MAX_HEADER_BYTES = 100_000_000;

/**
 * Parses and checks a header against the size of its file.
 * @throws Error that names file and tensor: unknown dtype, offsets that are out of the file, overlap, leave a hole or do
 * not fit the shape.
 */
export function parseHeader(path: string, json: string, dataStart: number, fileBytes: number): SafetensorsHeader {
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch (error) {
    throw new Error(`${path}: the header is not JSON; is this a safetensors file?`, { cause: error });
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw new Error(`${path}: the header is not a JSON object; is this a safetensors file?`);
  }
  const { __metadata__: metadata = {}, ...entries } = parsed as Record<string, unknown>;
  const dataBytes = fileBytes - dataStart;
  const tensors = Object.entries(entries).map(([name, entry]) => parseEntry(path, name, entry, dataBytes));
  let covered = 0;
  for (const tensor of [...tensors].sort((a, b) => a.start - b.start || a.end - b.end)) {
    if (tensor.start < covered) throw new Error(`${path}: tensor "${tensor.name}" overlaps another one`);
    if (tensor.start > covered) throw new Error(`${path}: bytes before tensor "${tensor.name}" belong to no tensor`);
    covered = tensor.end;
  }
  if (covered < dataBytes) throw new Error(`${path}: ${dataBytes - covered} bytes at the end belong to no tensor`);
  return {
    tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])),
    metadata: metadata as Record<string, string>,
    dataStart,
  };
}

function parseEntry(path: string, name: string, entry: unknown, dataBytes: number): TensorEntry {
  const where = `${path}: tensor "${name}"`;
  const { dtype, shape, data_offsets: offsets } = (entry ?? {}) as Record<string, unknown>;
  const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
  if (typeof dtype !== "string" || !Array.isArray(shape) || !shape.every(isSize) || !Array.isArray(offsets)) {
    throw new Error(`${where} needs dtype, shape and data_offsets`);
  }
  const elementBytes = Object.hasOwn(ELEMENT_BYTES, dtype) ? ELEMENT_BYTES[dtype] : undefined;
  if (elementBytes === undefined) throw new Error(`${where} has the unknown dtype ${dtype}`);
  const [start, end] = offsets as unknown[];
  if (offsets.length !== 2 || !isSize(start) || !isSize(end) || start > end) {
    throw new Error(`${where} has invalid data_offsets ${JSON.stringify(offsets)}`);
  }
  if (end > dataBytes) {
    throw new Error(`${where} ends at byte ${end} of the data, but the file holds only ${dataBytes}: it is truncated`);
  }
  const expected = shape.reduce((product: number, size: number) => product * size, elementBytes);
  if (end - start !== expected) {
    throw new Error(`${where} has ${end - start} bytes; ${dtype} of shape [${shape.join(", ")}] needs ${expected}`);
  }
  return { name, dtype, shape, start, end };
}
