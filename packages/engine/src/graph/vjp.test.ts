import { describe, expect, test } from "vitest";
import { useSoftwareAdapter } from "../runtime/software-adapter.js";
import {
  add,
  causalAttention,
  collectRows,
  expandAs,
  exponential,
  gatherRows,
  linear,
  logSoftmax,
  lowRankLinear,
  matmul,
  multiply,
  negate,
  reduceSum,
  reshape,
  reshapeBy,
  rmsNorm,
  rotaryEmbedding,
  scale,
  spreadRows,
  subtract,
  swiglu,
  tokenDistribution,
  transpose,
} from "./index.js";
import { checkVjp, type Numbers, type VjpCase } from "./vjp-check.js";

/** Plain product of row-major matrices, a [m, k] and b [k, n]. */
function product(a: Numbers, b: Numbers, m: number, k: number, n: number): number[] {
  return Array.from({ length: m * n }, (_, index) => {
    const row = Math.floor(index / n);
    let sum = 0;
    for (let i = 0; i < k; i++) sum += a[row * k + i]! * b[i * n + (index % n)]!;
    return sum;
  });
}

/** The transpose of a [rows, columns]. */
function swap(a: Numbers, rows: number, columns: number): number[] {
  return Array.from({ length: rows * columns }, (_, i) => a[(i % rows) * columns + Math.floor(i / rows)]!);
}

function softmax(row: Numbers): number[] {
  const total = row.reduce((sum, value) => sum + Math.exp(value), 0);
  return row.map((value) => Math.exp(value) / total);
}

const rowsOf = (x: Numbers, size: number) =>
  Array.from({ length: x.length / size }, (_, i) => x.slice(i * size, (i + 1) * size));
const int64 = (values: readonly number[], shape: readonly number[]) =>
  ({ type: "int64", shape, data: BigInt64Array.from(values, BigInt) }) as const;

const int32 = (values: readonly number[], shape: readonly number[]) =>
  ({ type: "int32", shape, data: Int32Array.from(values) }) as const;

const matmulCases = [false, true].flatMap((transposeA) =>
  [false, true].map((transposeB): [string, VjpCase] => [
    `matmul${transposeA ? " Aᵀ" : ""}${transposeB ? " Bᵀ" : ""}`,
    {
      inputs: { a: [2, ...(transposeA ? [4, 3] : [3, 4])], b: [2, ...(transposeB ? [5, 4] : [4, 5])] },
      build: ({ a, b }) => [matmul(a!, b!, { transposeA, transposeB, alpha: 0.5 })],
      reference: ({ a, b }) => [
        [0, 1].flatMap((batch) => {
          const left = a!.slice(batch * 12, batch * 12 + 12);
          const right = b!.slice(batch * 20, batch * 20 + 20);
          const result = product(transposeA ? swap(left, 4, 3) : left, transposeB ? swap(right, 5, 4) : right, 3, 4, 5);
          return result.map((value) => value * 0.5);
        }),
      ],
    },
  ]),
);

const cosine = Array.from({ length: 12 }, (_, i) => Math.cos(Math.floor(i / 4) / (1 + (i % 4))));
const sine = Array.from({ length: 12 }, (_, i) => Math.sin(Math.floor(i / 4) / (1 + (i % 4))));

function attentionReference(query: Numbers, key: Numbers, value: Numbers): number[] {
  const [batch, heads, kvHeads, time, size] = [2, 4, 2, 3, 8];
  const output: number[] = [];
  for (let b = 0; b < batch; b++)
    for (let h = 0; h < heads; h++)
      for (let t = 0; t < time; t++) {
        const q = (b * heads + h) * time * size + t * size;
        const group = (b * kvHeads + Math.floor(h / (heads / kvHeads))) * time * size;
        const scores = Array.from({ length: t + 1 }, (_, s) => {
          let sum = 0;
          for (let i = 0; i < size; i++) sum += query[q + i]! * key[group + s * size + i]!;
          return sum / Math.sqrt(size);
        });
        const p = softmax(scores);
        for (let i = 0; i < size; i++) output.push(p.reduce((sum, w, s) => sum + w * value[group + s * size + i]!, 0));
      }
  return output;
}

const cases: [string, VjpCase][] = [
  [
    "linear with bias",
    {
      inputs: { x: [3, 4], w: [5, 4], b: [5] },
      build: ({ x, w, b }) => [linear(x!, w!, b!)],
      reference: ({ x, w, b }) => [product(x!, swap(w!, 5, 4), 3, 4, 5).map((value, i) => value + b![i % 5]!)],
    },
  ],
  [
    "linear with a low-rank addition and bias",
    {
      inputs: { x: [3, 4], w: [5, 4], a: [2, 4], b: [5, 2], bias: [5] },
      build: ({ x, w, a, b, bias }) => [lowRankLinear(x!, w!, { a: a!, b: b!, scale: 0.5 }, bias!)],
      reference: ({ x, w, a, b, bias }) => {
        const low = product(product(x!, swap(a!, 2, 4), 3, 4, 2), swap(b!, 5, 2), 3, 2, 5);
        return [product(x!, swap(w!, 5, 4), 3, 4, 5).map((value, i) => value + 0.5 * low[i]! + bias![i % 5]!)];
      },
    },
  ],
  [
    "a weight that is read twice",
    {
      inputs: { x: [3, 4], w: [4, 4] },
      build: ({ x, w }) => [linear(linear(x!, w!), w!)],
      reference: ({ x, w }) => [product(product(x!, swap(w!, 4, 4), 3, 4, 4), swap(w!, 4, 4), 3, 4, 4)],
    },
  ],
  ...matmulCases,
  [
    "add, subtract, multiply with broadcasting",
    {
      inputs: { a: [2, 3], b: [3], c: [2, 1] },
      build: ({ a, b, c }) => [multiply(add(a!, b!), subtract(c!, a!))],
      reference: ({ a, b, c }) => [a!.map((value, i) => (value + b![i % 3]!) * (c![Math.floor(i / 3)]! - value))],
    },
  ],
  [
    "scale, negate, exponential",
    {
      inputs: { x: [2, 3] },
      build: ({ x }) => [exponential(scale(negate(x!), 0.7))],
      reference: ({ x }) => [x!.map((value) => Math.exp(-0.7 * value))],
    },
  ],
  [
    "reshape, transpose",
    {
      inputs: { x: [2, 3, 4] },
      fixed: { sizes: int64([6, 4], [2]) },
      build: ({ x, sizes }) => [
        transpose(reshape(transpose(x!, [1, 0, 2]), [6, 4]), [1, 0]),
        reshapeBy(x!, sizes!, [6, 4]),
      ],
      reference: ({ x }) => [
        Array.from({ length: 24 }, (_, i) => {
          const row = i % 6;
          return x![(row % 2) * 12 + Math.floor(row / 2) * 4 + Math.floor(i / 6)]!;
        }),
        x!,
      ],
    },
  ],
  [
    "reduceSum, expandAs",
    {
      inputs: { x: [2, 3], y: [2, 1] },
      build: ({ x, y }) => [reduceSum(x!, [0]), multiply(expandAs(y!, x!), x!)],
      reference: ({ x, y }) => [
        [0, 1, 2].map((i) => x![i]! + x![i + 3]!),
        x!.map((value, i) => value * y![Math.floor(i / 3)]!),
      ],
    },
  ],
  [
    "gatherRows, some of them more than once",
    {
      inputs: { x: [4, 3] },
      fixed: { indices: { type: "int32", shape: [5], data: Int32Array.of(2, 0, 2, 2, 3) } },
      build: ({ x, indices }) => [gatherRows(x!, indices!)],
      reference: ({ x }) => [[2, 0, 2, 2, 3].flatMap((row) => x!.slice(row * 3, row * 3 + 3))],
    },
  ],
  [
    "rmsNorm",
    {
      inputs: { x: [3, 8], w: [8] },
      build: ({ x, w }) => [rmsNorm(x!, w!, 1e-3)],
      reference: ({ x, w }) => [
        rowsOf(x!, 8).flatMap((row) => {
          const rms = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0) / 8 + 1e-3);
          return row.map((value, i) => (value / rms) * w![i]!);
        }),
      ],
    },
  ],
  [
    "swiglu",
    {
      inputs: { gate: [3, 5], up: [3, 5] },
      build: ({ gate, up }) => [swiglu(gate!, up!)],
      reference: ({ gate, up }) => [gate!.map((g, i) => (g / (1 + Math.exp(-g))) * up![i]!)],
    },
  ],
  [
    "rotaryEmbedding",
    {
      inputs: { x: [2, 2, 3, 8] },
      fixed: {
        cosine: { type: "float32", shape: [3, 4], data: Float32Array.from(cosine) },
        sine: { type: "float32", shape: [3, 4], data: Float32Array.from(sine) },
        positions: int64([0], [1]),
      },
      build: ({ x, cosine, sine, positions }) => [
        rotaryEmbedding(x!, { cosine: cosine!, sine: sine!, positions: positions! }),
      ],
      reference: ({ x }) => [
        x!.map((value, i) => {
          const entry = (Math.floor(i / 8) % 3) * 4 + (i % 4);
          const other = i % 8 < 4 ? -x![i + 4]! : x![i - 4]!;
          return value * cosine[entry]! + other * sine[entry]!;
        }),
      ],
    },
  ],
  [
    "rotaryEmbedding with the heads side by side, each row at a position of its own",
    {
      inputs: { x: [3, 1, 16] },
      fixed: {
        cosine: { type: "float32", shape: [3, 4], data: Float32Array.from(cosine) },
        sine: { type: "float32", shape: [3, 4], data: Float32Array.from(sine) },
        positions: int64([2, 0, 2], [3, 1]),
      },
      build: ({ x, cosine, sine, positions }) => [
        rotaryEmbedding(x!, { cosine: cosine!, sine: sine!, positions: positions! }),
      ],
      reference: ({ x }) => [
        x!.map((value, i) => {
          const entry = [2, 0, 2][Math.floor(i / 16)]! * 4 + (i % 4);
          const other = i % 8 < 4 ? -x![i + 4]! : x![i - 4]!;
          return value * cosine[entry]! + other * sine[entry]!;
        }),
      ],
    },
  ],
  [
    // Rows 0 and 1 are in several slots, rows 2 and 3 in one; slot 5 is what row 0 fills up with and passes no gradient.
    "spreadRows to slots, some rows to several",
    {
      inputs: { x: [4, 3] },
      fixed: {
        slots: int32([1, 2, 0, 1, 3, 0], [1, 2, 3]),
        many: int32([2, 5, 0, 3], [2, 2]),
        one: int32([1, 4], [2]),
      },
      build: ({ x, slots, many, one }) => [spreadRows(x!, slots!, { many: many!, one: one! })],
      reference: ({ x }) => [[1, 2, 0, 1, 3, 0].flatMap((row) => x!.slice(row * 3, row * 3 + 3))],
    },
  ],
  [
    "spreadRows one to one, and collectRows back in another order",
    {
      inputs: { x: [4, 3] },
      fixed: { slots: int32([3, 1, 0, 2], [2, 1, 2]), back: int32([2, 1, 3, 0], [4]), order: int32([1, 0, 3, 2], [4]) },
      build: ({ x, slots, back, order }, graph) => {
        const spread = spreadRows(x!, slots!, back!);
        const inverse = graph.node("Reshape", [order!, graph.integers([2, 1, 2])], [{ shape: [2, 1, 2] }])[0]!;
        return [collectRows(multiply(spread, spread), order!, inverse)];
      },
      reference: ({ x }) => [[1, 3, 2, 0].flatMap((row) => x!.slice(row * 3, row * 3 + 3).map((v) => v * v))],
    },
  ],
  [
    "causalAttention with grouped heads",
    {
      inputs: { query: [2, 4, 3, 8], key: [2, 2, 3, 8], value: [2, 2, 3, 8] },
      fixed: {
        mask: { type: "float32", shape: [3, 3], data: Float32Array.from([0, -1e30, -1e30, 0, 0, -1e30, 0, 0, 0]) },
      },
      build: ({ query, key, value, mask }) => [
        causalAttention({ query: query!, key: key!, value: value!, mask: mask! }),
      ],
      reference: ({ query, key, value }) => [attentionReference(query!, key!, value!)],
    },
  ],
  [
    "causalAttention by blocks of rows",
    {
      inputs: { query: [2, 4, 3, 8], key: [2, 2, 3, 8], value: [2, 2, 3, 8] },
      fixed: {
        mask: { type: "float32", shape: [1, 3], data: new Float32Array(3) },
        blockMask: { type: "float32", shape: [1, 2], data: new Float32Array(2) },
      },
      build: ({ query, key, value, mask, blockMask }) => [
        causalAttention({
          ...{ query: query!, key: key!, value: value!, mask: mask! },
          blocks: { rows: 1, count: 3, mask: blockMask! },
        }),
      ],
      reference: ({ query, key, value }) => [attentionReference(query!, key!, value!)],
    },
  ],
  [
    "causalAttention by blocks, the last one shorter",
    {
      inputs: { query: [2, 4, 3, 8], key: [2, 2, 3, 8], value: [2, 2, 3, 8] },
      fixed: {
        mask: { type: "float32", shape: [1, 3], data: new Float32Array(3) },
        blockMask: { type: "float32", shape: [2, 2], data: Float32Array.from([0, -1e30, 0, 0]) },
      },
      build: ({ query, key, value, mask, blockMask }) => [
        causalAttention({
          ...{ query: query!, key: key!, value: value!, mask: mask! },
          blocks: { rows: 2, count: 2, mask: blockMask! },
        }),
      ],
      reference: ({ query, key, value }) => [attentionReference(query!, key!, value!)],
    },
  ],
  [
    "tokenDistribution: log-probability and entropy",
    {
      inputs: { logits: [3, 6] },
      fixed: { targets: int64([2, 0, 5], [3, 1]) },
      build: ({ logits, targets }) => {
        const { logprob, entropy } = tokenDistribution(logits!, targets!);
        return [logprob, entropy];
      },
      reference: ({ logits }) => {
        const rows = rowsOf(logits!, 6).map(softmax);
        return [
          rows.map((row, i) => Math.log(row[[2, 0, 5][i]!]!)),
          rows.map((row) => -row.reduce((sum, p) => sum + p * Math.log(p), 0)),
        ];
      },
    },
  ],
  [
    "tokenDistribution: log-probability alone",
    {
      inputs: { logits: [2, 4] },
      fixed: { targets: int64([3, 1], [2, 1]) },
      build: ({ logits, targets }) => [tokenDistribution(logits!, targets!).logprob],
      reference: ({ logits }) => [rowsOf(logits!, 4).map((row, i) => Math.log(softmax(row)[[3, 1][i]!]!))],
    },
  ],
  [
    "tokenDistribution: entropy alone",
    {
      inputs: { logits: [2, 4] },
      fixed: { targets: int64([3, 1], [2, 1]) },
      build: ({ logits, targets }) => [tokenDistribution(logits!, targets!).entropy],
      reference: ({ logits }) => [
        rowsOf(logits!, 4).map((row) => -softmax(row).reduce((sum, p) => sum + p * Math.log(p), 0)),
      ],
    },
  ],
  [
    "logSoftmax",
    {
      inputs: { x: [2, 5] },
      build: ({ x }) => [logSoftmax(x!)],
      reference: ({ x }) => [rowsOf(x!, 5).flatMap((row) => softmax(row).map(Math.log))],
    },
  ],
];

describe("every operation and its VJP agree with a float64 reference and its finite differences", () => {
  test.each(cases)("%s", async (_, testCase) => {
    const report = await checkVjp(testCase);
    expect(report.forwardError).toBeLessThan(2e-6);
    expect(report.gradientError).toBeLessThan(2e-6);
  });
});

const missing = useSoftwareAdapter();
const title = "as lowered for WebGPU, with no node left to the CPU, they agree as well (SwiftShader)";

describe.skipIf(missing !== undefined)(missing === undefined ? title : `${title}: ${missing}`, () => {
  test.each(cases)("%s", async (_, testCase) => {
    const report = await checkVjp(testCase, "webgpu");
    expect(report.forwardError).toBeLessThan(1e-5);
    expect(report.gradientError).toBeLessThan(1e-5);
  });
});
