import protobuf from "protobufjs/minimal.js";
import { dataTypes } from "../graph/index.js";
import type { ElementType } from "../runtime/types.js";

const varint = (field: number) => (field << 3) | 0;
const bytes = (field: number) => (field << 3) | 2;

/** TensorProto.DataLocation EXTERNAL of onnx.proto3. */
const EXTERNAL = 1;

/**
 * Declares initializers without data: whoever loads the model supplies them. Protobuf merges repeated
 * occurrences of an embedded message, so a second `graph` field with nothing but initializers extends the first.
 */
export function withExternalInitializers(
  model: Uint8Array,
  initializers: readonly { readonly name: string; readonly shape: readonly number[]; readonly type: ElementType }[],
): Uint8Array {
  const writer = protobuf.Writer.create();
  writer.uint32(bytes(7)).fork();
  for (const { name, shape, type } of initializers) {
    writer.uint32(bytes(5)).fork();
    for (const size of shape) writer.uint32(varint(1)).int64(size);
    writer.uint32(varint(2)).int32(dataTypes[type]);
    writer.uint32(bytes(8)).string(name);
    // A place is required, though nothing is read from it.
    writer.uint32(bytes(13)).fork().uint32(bytes(1)).string("location").uint32(bytes(2)).string("memory").ldelim();
    writer.uint32(varint(14)).int32(EXTERNAL);
    writer.ldelim();
  }
  writer.ldelim();
  return Buffer.concat([model, writer.finish()]);
}
