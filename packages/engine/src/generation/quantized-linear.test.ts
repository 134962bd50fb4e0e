import fc from "fast-check";
import { expect, test } from "vitest";
import { Graph, serialiseModel, subgraph } from "../graph/index.js";
import { createSession, type Tensor } from "../runtime/index.js";
import { withExternalInitializers } from "./external-initializers.js";
import { quantizeRows } from "./quantization.js";
import { quantizedProjection } from "./quantized-linear.js";

interface Problem {
  /** [rows, inputs], [outputs, inputs] and [outputs]. */
  readonly x: readonly (readonly number[])[];
  readonly weight: readonly (readonly number[])[];
  readonly bias?: readonly number[];
}

const floats = (matrix: readonly (readonly number[])[]) => Float32Array.from(matrix.flat());

/** x Wᵀ + b as the engine computes it, row by row. */
async function project({ x, weight, bias }: Problem): Promise<number[][]> {
  const [rows, inputs, outputs] = [x.length, x[0]!.length, weight.length];
  const columns = new Int8Array(inputs * outputs);
  const scales = new Float32Array(outputs);
  quantizeRows(floats(weight), columns, scales);

  const graph = new Graph();
  const values = {
    x: graph.input("x", ["rows", inputs]),
    weight: graph.input("weight", [inputs, outputs], "int8"),
    scales: graph.input("scales", [outputs]),
    bias: graph.input("bias", [outputs]),
  };
  const projection = quantizedProjection(new Map([[values.weight, values.scales]]));
  const part = subgraph(graph, { y: projection(values.x, values.weight, bias ? { bias: values.bias } : {}) });
  const model = serialiseModel({ ...part, inputs: part.inputs.filter(({ name }) => name === "x" || name === "bias") });
  // As constants, which is how generation has them: they go through other kernels than inputs do.
  const session = createSession(
    withExternalInitializers(model, [
      { name: "weight", shape: [inputs, outputs], type: "int8" },
      { name: "scales", shape: [outputs], type: "float32" },
    ]),
    {
      initializers: {
        weight: { type: "int8", shape: [inputs, outputs], data: columns },
        scales: { type: "float32", shape: [outputs], data: scales },
      },
    },
  );
  const y = new Float32Array(rows * outputs);
  const feeds: Record<string, Tensor> = { x: { type: "float32", shape: [rows, inputs], data: floats(x) } };
  if (bias) feeds.bias = { type: "float32", shape: [outputs], data: Float32Array.from(bias) };
  await session.run(feeds, { y: { type: "float32", shape: [rows, outputs], data: y } });
  session.close();
  return x.map((_, row) => [...y.subarray(row * outputs, (row + 1) * outputs)]);
}

/** The same in exact arithmetic on the rounded numbers: activations within ±127, weights within ±64. */
function expected({ x, weight, bias }: Problem): number[][] {
  const rounded = (values: readonly number[], steps: number) => {
    const scale = Math.max(...values.map(Math.abs)) / steps;
    return { scale, integers: values.map((value) => (scale === 0 ? 0 : Math.round(value / scale))) };
  };
  return x.map((row) => {
    const a = rounded(row, 127);
    return weight.map((column, output) => {
      const w = rounded(column, 64);
      const sum = a.integers.reduce((total, integer, index) => total + integer * w.integers[index]!, 0);
      return a.scale * w.scale * sum + (bias?.[output] ?? 0);
    });
  });
}

const spread = (seed: number, length: number) =>
  Array.from({ length }, (_, index) => Math.sin(seed * 12.9898 + index * 78.233) * (1 + (index % 5)));
const matrix = (seed: number, rows: number, columns: number) =>
  Array.from({ length: rows }, (_, row) => spread(seed + 31 * row, columns));

test("a product is the sum of integers times the scales of its row and of its output", async () => {
  const problem = { x: matrix(1, 5, 96), weight: matrix(2, 40, 96), bias: spread(3, 40) };
  const actual = await project(problem);
  for (const [row, values] of expected(problem).entries())
    for (const [output, value] of values.entries()) expect(actual[row]![output]).toBeCloseTo(value, 3);
});

test("largest activations times largest weights do not saturate, whatever instructions the processor has", async () => {
  const inputs = 256;
  const alternating = Array.from({ length: inputs }, (_, index) => (index % 2 === 0 ? 3 : -3));
  const problem = {
    x: [new Array(inputs).fill(2), alternating, new Array(inputs).fill(-2)],
    weight: [new Array(inputs).fill(1), alternating],
  };
  const actual = await project(problem);
  for (const [row, values] of expected(problem).entries())
    for (const [output, value] of values.entries()) expect(actual[row]![output]).toBeCloseTo(value, 2);
});

test("the result of a row does not depend on the other rows, not even on a thousand times larger ones", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 1, max: 9 }), async (seed, others) => {
      const weight = matrix(seed, 24, 48);
      const row = spread(seed + 1, 48);
      const louder = matrix(seed + 2, others, 48).map((values) => values.map((value) => 1000 * value));
      const [alone] = await project({ x: [row, row], weight });
      expect((await project({ x: [...louder, row], weight })).at(-1)).toEqual(alone);
    }),
    { numRuns: 10 },
  );
});

test("rows and weights of zeros give zeros; what is not finite stays visible", async () => {
  const weight = [new Array(16).fill(0), spread(1, 16)];
  const [zeros, numbers] = await project({ x: [new Array(16).fill(0), spread(2, 16)], weight });
  for (const value of [...zeros!, numbers![0]]) expect(value).toBeCloseTo(0, 9);
  const broken = [weight[1]!, weight[1]!.with(3, Number.NaN), weight[1]!.with(5, Number.POSITIVE_INFINITY)];
  const [row] = await project({ x: [spread(3, 16), spread(4, 16)], weight: broken });
  expect(row!.map(Number.isFinite)).toEqual([true, false, false]);
});
