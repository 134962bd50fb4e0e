/** A minimal ONNX encoder for the runtime's own tests: nodes with integer attributes, no initializers. */

type Field = readonly [number, number | string | Uint8Array | readonly Field[]];

function encode(fields: readonly Field[]): Uint8Array {
  const bytes: number[] = [];
  const varint = (value: number) => {
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
    bytes.push(rest);
  };
  for (const [number, value] of fields) {
    if (typeof value === "number") {
      varint(number * 8);
      varint(value);
      continue;
    }
    const payload =
      typeof value === "string" ? new TextEncoder().encode(value) : value instanceof Uint8Array ? value : encode(value);
    varint(number * 8 + 2);
    varint(payload.length);
    for (const byte of payload) bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}

export interface TestValue {
  readonly name: string;
  /** Strings are symbolic sizes. */
  readonly shape: readonly (number | string)[];
  /** TensorProto.DataType; 1 = float32. */
  readonly type?: number;
}

export interface TestNode {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly domain?: string;
  readonly ints?: Readonly<Record<string, number>>;
}

/** Serialises a model from its nodes, inputs and outputs. */
export function testModel(
  nodes: readonly TestNode[],
  inputs: readonly TestValue[],
  outputs: readonly TestValue[],
): Uint8Array {
  const valueInfo = ({ name, shape, type = 1 }: TestValue): Field[] => {
    const dimensions = shape.map((size): Field => [1, [typeof size === "number" ? [1, size] : [2, size]]]);
    return [
      [1, name],
      [2, [[1, [[1, type] as Field, [2, dimensions] as Field]]]],
    ];
  };
  const node = ({ op, inputs: from, outputs: to, domain = "", ints = {} }: TestNode): Field[] => [
    ...from.map((name): Field => [1, name]),
    ...to.map((name): Field => [2, name]),
    [4, op],
    ...Object.entries(ints).map(([name, value]): Field => [5, [[1, name] as Field, [3, value], [20, 2]]]),
    [7, domain],
  ];
  return encode([
    [1, 10],
    [
      7,
      [
        ...nodes.map((item): Field => [1, node(item)]),
        [2, "test"],
        ...inputs.map((value): Field => [11, valueInfo(value)]),
        ...outputs.map((value): Field => [12, valueInfo(value)]),
      ],
    ],
    [8, [[1, ""] as Field, [2, 21]]],
    [8, [[1, "com.microsoft"] as Field, [2, 1]]],
  ]);
}

/** y[n, m] = a[n, k] · b[k, m], then `repeats` times y = y · y with square matrices: work of any duration. */
export function matMulChain(size: number | string, repeats = 0): Uint8Array {
  const nodes: TestNode[] = [{ op: "MatMul", inputs: ["a", "b"], outputs: [repeats === 0 ? "y" : "t0"] }];
  for (let index = 0; index < repeats; index++) {
    nodes.push({ op: "Tanh", inputs: [`t${index}`], outputs: [`u${index}`] });
    const last = index === repeats - 1;
    nodes.push({ op: "MatMul", inputs: [`u${index}`, "b"], outputs: [last ? "y" : `t${index + 1}`] });
  }
  const shape = [size, size];
  return testModel(
    nodes,
    [
      { name: "a", shape },
      { name: "b", shape },
    ],
    [{ name: "y", shape }],
  );
}
