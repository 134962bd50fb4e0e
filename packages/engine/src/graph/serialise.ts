import protobuf from "protobufjs/minimal.js";
import type { ElementType, ExecutionProvider } from "../runtime/types.js";
import type { Attribute, Value } from "./graph.js";
import { type LoweredConstant, lower, type OnnxNode } from "./lowering/lowering.js";
import type { Subgraph } from "./partition.js";

type Writer = protobuf.Writer;

const irVersion = 10;
const opsetVersion = 21;

/** TensorProto.DataType of onnx.proto3. */
export const dataTypes: Readonly<Record<ElementType, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  bfloat16: 16,
};

/** AttributeProto.AttributeType of onnx.proto3. */
const attributeTypes = { float: 1, int: 2, string: 3, floats: 6, ints: 7 } as const;

/** Protobuf tags: field number and wire type. */
const varint = (field: number) => (field << 3) | 0;
const bytes = (field: number) => (field << 3) | 2;
const fixed32 = (field: number) => (field << 3) | 5;

/**
 * Writes a part of a graph as an ONNX model (onnx.proto3, opset 21 + com.microsoft).
 * @param provider whose kernels will run it: operations it lacks are spelled in others (`lowering/`)
 * @returns the bytes that `createSession` takes
 */
export function serialiseModel(part: Subgraph, provider: ExecutionProvider = "cpu"): Uint8Array {
  const writer = protobuf.Writer.create();
  writer.uint32(varint(1)).int64(irVersion);
  writer.uint32(bytes(2)).string("critique-grpo");
  writer.uint32(bytes(7)).fork();
  writeGraph(writer, part, provider);
  writer.ldelim();
  for (const [domain, version] of [
    ["", opsetVersion],
    ["com.microsoft", 1],
  ] as const) {
    writer.uint32(bytes(8)).fork();
    writer.uint32(bytes(1)).string(domain).uint32(varint(2)).int64(version);
    writer.ldelim();
  }
  return writer.finish();
}

function writeGraph(writer: Writer, part: Subgraph, provider: ExecutionProvider): void {
  const { names, copies } = outputNames(part);
  const named = (value: Value) => ({ name: names.get(value) ?? value.name, shape: value.shape });
  const nodes: OnnxNode[] = part.nodes.map((node) => ({
    op: node.op,
    domain: node.domain,
    inputs: node.inputs.map((input) => input && named(input)),
    outputs: node.outputs.map(named),
    attributes: node.attributes,
  }));
  for (const [name, value] of copies) {
    const outputs = [{ name, shape: value.shape }];
    nodes.push({ op: "Identity", domain: "", inputs: [named(value)], outputs, attributes: {} });
  }
  const lowered = lower(nodes, provider, new Set(part.outputs.map(([name]) => name)));
  for (const node of lowered.nodes) writeNode(writer, node);
  writer.uint32(bytes(2)).string("graph");
  for (const { value, data } of part.constants)
    writeConstant(writer, { name: value.name, shape: value.shape as readonly number[], type: value.type, data });
  for (const constant of lowered.constants) writeConstant(writer, constant);
  for (const input of part.inputs) writeValueInfo(writer, 11, input.name, input);
  for (const [name, value] of part.outputs) writeValueInfo(writer, 12, name, value);
}

/** A computed value takes the name of its first output; inputs, constants and further names need a copy. */
function outputNames(part: Subgraph) {
  const names = new Map<Value, string>();
  const copies: (readonly [string, Value])[] = [];
  const inputs = new Set(part.inputs);
  for (const [name, value] of part.outputs)
    if (names.has(value) || !value.node || inputs.has(value)) copies.push([name, value]);
    else names.set(value, name);
  return { names, copies };
}

function writeNode(writer: Writer, node: OnnxNode): void {
  writer.uint32(bytes(1)).fork();
  for (const input of node.inputs) writer.uint32(bytes(1)).string(input?.name ?? "");
  for (const output of node.outputs) writer.uint32(bytes(2)).string(output.name);
  // Outputs have readable names; a profile then shows which node is meant.
  writer.uint32(bytes(3)).string(node.outputs[0]?.name ?? "");
  writer.uint32(bytes(4)).string(node.op);
  for (const [name, attribute] of Object.entries(node.attributes)) writeAttribute(writer, name, attribute);
  if (node.domain !== "") writer.uint32(bytes(7)).string(node.domain);
  writer.ldelim();
}

function writeAttribute(writer: Writer, name: string, attribute: Attribute): void {
  writer.uint32(bytes(5)).fork();
  writer.uint32(bytes(1)).string(name);
  let type: number;
  if (typeof attribute === "number") {
    type = attributeTypes.float;
    writer.uint32(fixed32(2)).float(attribute);
  } else if (typeof attribute === "bigint") {
    type = attributeTypes.int;
    writer.uint32(varint(3)).int64(Number(attribute));
  } else if (typeof attribute === "string") {
    type = attributeTypes.string;
    writer.uint32(bytes(4)).string(attribute);
  } else if (attribute.every((item) => typeof item === "bigint")) {
    type = attributeTypes.ints;
    for (const item of attribute) writer.uint32(varint(8)).int64(Number(item));
  } else {
    type = attributeTypes.floats;
    for (const item of attribute) writer.uint32(fixed32(7)).float(Number(item));
  }
  writer.uint32(varint(20)).int32(type);
  writer.ldelim();
}

function writeConstant(writer: Writer, { name, shape, type, data }: LoweredConstant): void {
  writer.uint32(bytes(5)).fork();
  for (const dimension of shape) writer.uint32(varint(1)).int64(dimension);
  writer.uint32(varint(2)).int32(dataTypes[type]);
  writer.uint32(bytes(8)).string(name);
  writer.uint32(bytes(9)).bytes(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  writer.ldelim();
}

function writeValueInfo(writer: Writer, field: number, name: string, value: Value): void {
  writer.uint32(bytes(field)).fork();
  writer.uint32(bytes(1)).string(name);
  writer.uint32(bytes(2)).fork().uint32(bytes(1)).fork();
  writer.uint32(varint(1)).int32(dataTypes[value.type]);
  writer.uint32(bytes(2)).fork();
  for (const dimension of value.shape) {
    writer.uint32(bytes(1)).fork();
    if (typeof dimension === "number") writer.uint32(varint(1)).int64(dimension);
    else writer.uint32(bytes(2)).string(dimension);
    writer.ldelim();
  }
  writer.ldelim().ldelim().ldelim().ldelim();
}
