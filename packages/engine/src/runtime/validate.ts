import type { ValueInfo } from "./native.js";
import type { ElementType, Tensor, TensorData } from "./types.js";

/** A tensor on the host has data to be checked; one on a device has not. */
type CheckedTensor = Pick<Tensor, "type" | "shape"> & { readonly data?: TensorData };

const ARRAY_TYPES = {
  float32: Float32Array,
  int32: Int32Array,
  int64: BigInt64Array,
  bool: Uint8Array,
  uint8: Uint8Array,
  int8: Int8Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
} as const satisfies Record<ElementType, unknown>;

/**
 * Checks tensors against what the model declares, since ONNX Runtime reports some of these mistakes late (a missing
 * input), and others never (a buffer of the wrong size).
 * @param role "input": all declared values must be there. "output": any subset, but at least one.
 * @returns The tensors by name, in the model's order.
 * @throws Error that names the session, the value and what was expected.
 */
export function checkTensors<T extends CheckedTensor>(
  session: string,
  role: "input" | "output",
  declared: readonly ValueInfo[],
  given: Readonly<Record<string, T>>,
): Map<string, T> {
  const names = new Set(declared.map((info) => info.name));
  for (const name of Object.keys(given)) {
    if (!names.has(name)) {
      throw new Error(`${session}: there is no ${role} "${name}"; the model has ${[...names].join(", ") || "none"}`);
    }
  }
  const checked = new Map<string, T>();
  for (const info of declared) {
    const tensor = Object.hasOwn(given, info.name) ? given[info.name] : undefined;
    if (tensor === undefined) {
      if (role === "input") throw new Error(`${session}: input "${info.name}" is missing`);
      continue;
    }
    checkTensor(`${session}: ${role} "${info.name}"`, info, tensor);
    checked.set(info.name, tensor);
  }
  if (role === "output" && checked.size === 0) throw new Error(`${session}: no output was asked for`);
  return checked;
}

function checkTensor(where: string, info: ValueInfo, tensor: CheckedTensor): void {
  if (info.type !== tensor.type) {
    throw new Error(`${where} has type ${tensor.type}, expected ${info.type ?? "a type that is not supported"}`);
  }
  const { data, shape } = tensor;
  const arrayType = ARRAY_TYPES[tensor.type];
  if (data !== undefined && !(data instanceof arrayType)) {
    throw new Error(`${where}: ${tensor.type} data must be a ${arrayType.name}, not a ${data.constructor.name}`);
  }
  const fits =
    shape.length === info.shape.length &&
    shape.every((size, axis) => info.shape[axis]! < 0 || info.shape[axis] === size);
  if (!fits) throw new Error(`${where} has shape ${show(shape)}, expected ${show(info.shape)}`);
  if (!shape.every((size) => Number.isSafeInteger(size) && size >= 0)) {
    throw new Error(`${where} has shape ${show(shape)}: sizes must be whole numbers`);
  }
  const elements = shape.reduce((product, size) => product * size, 1);
  if (data !== undefined && data.length !== elements) {
    throw new Error(`${where} has ${data.length} elements, but shape ${show(shape)} needs ${elements}`);
  }
}

function show(shape: readonly number[]): string {
  return `[${shape.map((size) => (size < 0 ? "?" : size)).join(", ")}]`;
}
