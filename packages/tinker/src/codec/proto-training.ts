import { InvalidArgumentError, ProtocolError } from "../errors.js";
import type { ModelInput, ModelInputChunk, TensorData } from "../protocol/tensors.js";
import type { Datum, ForwardBackwardOutput, ForwardBackwardRequest, LossFnOutput } from "../protocol/training.js";
import { fieldDouble, fieldIntegers, fieldText, ProtobufWriter, readFields } from "./protobuf.js";
import {
  DTYPE,
  elementSize,
  float32Bytes,
  int32Bytes,
  int32FromBytes,
  int64Bytes,
  int64FromBytes,
  numbersFromBytes,
} from "./raw-arrays.js";

/** Bytes of a `tinker_public.ForwardBackwardRequest`. Map entries are written in sorted order, so equal requests are equal bytes. */
export function encodeForwardBackwardRequest(request: ForwardBackwardRequest): Uint8Array {
  const writer = new ProtobufWriter();
  writer.string(1, request.modelId);
  if (request.seqId !== undefined && request.seqId !== 0) writer.varint(2, request.seqId);
  for (const datum of request.data) writer.message(3, (message) => writeDatum(message, datum));
  writer.string(4, request.lossFn);
  for (const [key, value] of sortedEntries(request.lossFnConfig ?? {})) {
    writer.message(5, (entry) => {
      entry.string(1, key).double(2, value);
    });
  }
  if (request.forwardOnly) writer.varint(6, 1);
  return writer.finish();
}

/** The inverse of {@link encodeForwardBackwardRequest}, for servers. Unknown fields are skipped. */
export function decodeForwardBackwardRequest(bytes: Uint8Array): ForwardBackwardRequest {
  let modelId = "";
  let seqId = 0;
  let lossFn = "";
  let forwardOnly = false;
  const data: Datum[] = [];
  // Maps until the end: a foreign key named __proto__ is a key like any other.
  const lossFnConfig = new Map<string, number>();
  for (const field of readFields(bytes)) {
    if (field.number === 1) modelId = fieldText(field);
    else if (field.number === 2) seqId = field.integer;
    else if (field.number === 3) data.push(readDatum(field.bytes));
    else if (field.number === 4) lossFn = fieldText(field);
    else if (field.number === 5) {
      const [key, value] = readMapEntry(field.bytes, fieldDouble);
      lossFnConfig.set(key, value ?? 0);
    } else if (field.number === 6) forwardOnly = field.integer !== 0;
  }
  return {
    modelId,
    data,
    lossFn,
    forwardOnly,
    ...(seqId === 0 ? {} : { seqId }),
    ...(lossFnConfig.size === 0 ? {} : { lossFnConfig: Object.fromEntries(lossFnConfig) }),
  };
}

function writeDatum(writer: ProtobufWriter, datum: Datum): void {
  for (const chunk of datum.modelInput.chunks) writer.message(1, (message) => writeChunk(message, chunk));
  for (const [name, tensor] of sortedEntries(datum.lossFnInputs)) {
    writer.message(2, (entry) => {
      entry.string(1, name).message(2, (message) => writeTensor(message, tensor));
    });
  }
}

function readDatum(bytes: Uint8Array): Datum {
  const chunks: ModelInputChunk[] = [];
  const lossFnInputs = new Map<string, TensorData>();
  for (const field of readFields(bytes)) {
    if (field.number === 1) chunks.push(readChunk(field.bytes));
    else if (field.number === 2) {
      const [name, tensor] = readMapEntry(field.bytes, (value) => readTensor(value.bytes));
      if (tensor === undefined) throw new ProtocolError(`loss_fn_inputs.${name} has no tensor`);
      lossFnInputs.set(name, tensor);
    }
  }
  const modelInput: ModelInput = { chunks };
  return { modelInput, lossFnInputs: Object.fromEntries(lossFnInputs) };
}

function writeChunk(writer: ProtobufWriter, chunk: ModelInputChunk): void {
  switch (chunk.type) {
    case "encoded_text":
      writer.message(1, (message) => {
        if (chunk.tokens.length > 0) message.bytes(1, int32Bytes(chunk.tokens));
      });
      break;
    case "image":
      writer.message(2, (message) => {
        message.bytes(1, chunk.data).string(2, chunk.format);
        if (chunk.expectedTokens !== undefined) message.varint(3, chunk.expectedTokens);
      });
      break;
    case "dmel":
      writer.message(3, (message) => {
        message.bytes(1, chunk.dmel);
      });
      break;
    case "image_asset_pointer":
      throw new InvalidArgumentError(
        'image_asset_pointer chunks cannot be sent as protobuf: use codec "json" or inline images',
      );
    default:
      chunk satisfies never;
  }
}

function readChunk(bytes: Uint8Array): ModelInputChunk {
  for (const field of readFields(bytes)) {
    if (field.number === 1) {
      let tokens = new Int32Array(0);
      for (const inner of readFields(field.bytes))
        if (inner.number === 1) tokens = new Int32Array(int32FromBytes(inner.bytes));
      return { type: "encoded_text", tokens };
    }
    if (field.number === 2) return readImage(field.bytes);
    if (field.number === 3) {
      let dmel: Uint8Array = new Uint8Array(0);
      for (const inner of readFields(field.bytes)) if (inner.number === 1) dmel = inner.bytes;
      return { type: "dmel", dmel };
    }
  }
  throw new ProtocolError("model input chunk of an unknown kind");
}

function readImage(bytes: Uint8Array): ModelInputChunk {
  let data: Uint8Array = new Uint8Array(0);
  let format: "png" | "jpeg" = "png";
  let expectedTokens: number | undefined;
  for (const field of readFields(bytes)) {
    if (field.number === 1) data = field.bytes;
    else if (field.number === 2) format = fieldText(field) === "jpeg" ? "jpeg" : "png";
    else if (field.number === 3) expectedTokens = field.integer;
  }
  return { type: "image", data, format, ...(expectedTokens === undefined ? {} : { expectedTokens }) };
}

export function writeTensor(writer: ProtobufWriter, tensor: TensorData): void {
  const values = tensor.dtype === "float32" ? float32Bytes(tensor.data) : int64Bytes(tensor.data);
  const { sparseCrowIndices, sparseColIndices } = tensor;
  if (sparseCrowIndices !== undefined && sparseColIndices !== undefined) {
    writer.message(2, (message) => {
      message.bytes(1, values).bytes(2, int64Bytes(sparseCrowIndices)).bytes(3, int64Bytes(sparseColIndices));
    });
  } else {
    writer.bytes(1, values);
  }
  writer.varint(3, tensor.dtype === "float32" ? DTYPE.float32 : DTYPE.int64);
  writer.packedVarints(4, tensor.shape ?? []);
}

export function readTensor(bytes: Uint8Array): TensorData {
  let values: Uint8Array = new Uint8Array(0);
  let dtype = 0;
  const shape: number[] = [];
  let crow: Uint8Array | undefined;
  let columns: Uint8Array | undefined;
  for (const field of readFields(bytes)) {
    if (field.number === 1) values = field.bytes;
    else if (field.number === 2) {
      for (const inner of readFields(field.bytes)) {
        if (inner.number === 1) values = inner.bytes;
        else if (inner.number === 2) crow = inner.bytes;
        else if (inner.number === 3) columns = inner.bytes;
      }
    } else if (field.number === 3) dtype = field.integer;
    else if (field.number === 4) shape.push(...fieldIntegers(field));
  }
  return {
    ...numbersFromBytes(values, dtype),
    ...(shape.length === 0 ? {} : { shape }),
    ...(crow === undefined || columns === undefined
      ? {}
      : { sparseCrowIndices: Array.from(int64FromBytes(crow)), sparseColIndices: Array.from(int64FromBytes(columns)) }),
  };
}

/** Bytes of a `tinker_public.ForwardBackwardOutput`, for servers. Outputs with the same names share one record. */
export function encodeForwardBackwardOutput(output: ForwardBackwardOutput): Uint8Array {
  const writer = new ProtobufWriter();
  if (output.lossFnOutputType !== "") writer.string(1, output.lossFnOutputType);
  const keyOf = (fields: LossFnOutput): string =>
    sortedEntries(fields)
      .map(([name, { dtype, shape = [] }]) => `${name}:${dtype}:${shape.slice(1).join("x")}`)
      .join();
  for (let start = 0; start < output.lossFnOutputs.length; ) {
    let end = start + 1;
    const key = keyOf(output.lossFnOutputs[start]!);
    while (end < output.lossFnOutputs.length && keyOf(output.lossFnOutputs[end]!) === key) end++;
    const run = output.lossFnOutputs.slice(start, end);
    writer.message(2, (record) => writeRecord(record, run));
    start = end;
  }
  for (const [name, value] of sortedEntries(output.metrics)) {
    writer.message(3, (entry) => {
      entry.string(1, name).double(2, value);
    });
  }
  return writer.finish();
}

function writeRecord(record: ProtobufWriter, rows: readonly LossFnOutput[]): void {
  for (const [name, first] of sortedEntries(rows[0]!)) {
    const parts = rows.map((row) =>
      first.dtype === "float32" ? float32Bytes(row[name]!.data) : int64Bytes(row[name]!.data),
    );
    const offsets = [0];
    for (const part of parts) offsets.push(offsets.at(-1)! + part.length);
    const data = new Uint8Array(offsets.at(-1)!);
    parts.forEach((part, i) => {
      data.set(part, offsets[i]!);
    });
    record.message(2, (entry) => {
      entry.string(1, name).message(2, (tensor) => {
        tensor
          .bytes(1, data)
          .bytes(2, int64Bytes(offsets))
          .varint(3, first.dtype === "float32" ? DTYPE.float32 : DTYPE.int64);
        tensor.packedVarints(4, (first.shape ?? []).slice(1));
      });
    });
  }
  record.varint(3, rows.length);
}

/** Reads a `tinker_public.ForwardBackwardOutput`. Throws {@link ProtocolError} on truncated or inconsistent bytes. */
export function decodeForwardBackwardOutput(bytes: Uint8Array): ForwardBackwardOutput {
  let lossFnOutputType = "";
  const lossFnOutputs: LossFnOutput[] = [];
  const metrics = new Map<string, number>();
  for (const field of readFields(bytes)) {
    if (field.number === 1) lossFnOutputType = fieldText(field);
    else if (field.number === 2) lossFnOutputs.push(...readRecord(field.bytes));
    else if (field.number === 3) {
      const [name, value] = readMapEntry(field.bytes, fieldDouble);
      metrics.set(name, value ?? 0);
    }
  }
  return { lossFnOutputType, lossFnOutputs, metrics: Object.fromEntries(metrics) };
}

function readRecord(bytes: Uint8Array): LossFnOutput[] {
  const columns: { name: string; values: TensorData[] }[] = [];
  let count = 0;
  for (const field of readFields(bytes)) {
    if (field.number === 3) count = field.integer;
    else if (field.number === 2) {
      const [name, values] = readMapEntry(field.bytes, (value) => readBatchedTensor(value.bytes));
      columns.push({ name, values: values ?? [] });
    }
  }
  // Messages older than the count field have only the columns to tell.
  if (count === 0) count = columns[0]?.values.length ?? 0;
  for (const { name, values } of columns) {
    if (values.length !== count)
      throw new ProtocolError(`loss output "${name}" has ${values.length} entries for ${count} datums`);
  }
  return Array.from({ length: count }, (_, i) =>
    Object.fromEntries(columns.map(({ name, values }) => [name, values[i]!])),
  );
}

function readBatchedTensor(bytes: Uint8Array): TensorData[] {
  let data: Uint8Array = new Uint8Array(0);
  let offsets: ArrayLike<number> = [0];
  let dtype = 0;
  const trailing: number[] = [];
  for (const field of readFields(bytes)) {
    if (field.number === 1) data = field.bytes;
    else if (field.number === 2) offsets = int64FromBytes(field.bytes);
    else if (field.number === 3) dtype = field.integer;
    else if (field.number === 4) trailing.push(...fieldIntegers(field));
  }
  const rowElements = trailing.reduce((product, dimension) => product * dimension, 1);
  const rows: TensorData[] = [];
  for (let i = 0; i + 1 < offsets.length; i++) {
    const start = offsets[i]!;
    const end = offsets[i + 1]!;
    if (start > end || end > data.length)
      throw new ProtocolError(`batched tensor offsets ${start}..${end} leave its ${data.length} bytes`);
    const elements = (end - start) / elementSize(dtype);
    rows.push({ ...numbersFromBytes(data.subarray(start, end), dtype), shape: [elements / rowElements, ...trailing] });
  }
  return rows;
}

function readMapEntry<T>(
  bytes: Uint8Array,
  read: (field: Parameters<typeof fieldText>[0]) => T,
): [string, T | undefined] {
  let key = "";
  let value: T | undefined;
  for (const field of readFields(bytes)) {
    if (field.number === 1) key = fieldText(field);
    else if (field.number === 2) value = read(field);
  }
  return [key, value];
}

function sortedEntries<T>(record: Readonly<Record<string, T>>): [string, T][] {
  return Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));
}
