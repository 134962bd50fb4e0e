import { headName } from "../model/index.js";
import type { Tensor } from "../runtime/types.js";
import {
  floatsOf,
  type ModelConfig,
  type ParameterSpecification,
  type ParameterStore,
  parameterLayout,
} from "../weights/index.js";

/**
 * Largest absolute value of a quantised weight. Processors without VNNI instructions add two products of an activation
 * (0 to 255) and a weight in 16 bits with saturation: 2 × 255 × 64 just fits, so sums are exact on all of them.
 */
const MAX_WEIGHT = 64;

/** Rows that are transposed together: as many as a cache line has int8. */
const BLOCK_ROWS = 64;

/** Adding and subtracting it rounds a number of small magnitude to the nearest integer (ties to even): 1.5 · 2^52. */
const ROUNDING = 6_755_399_441_055_744;

/** Names under which the int8 form of a matrix and its scales are inputs of a graph. */
export const quantizedName = (name: string) => `${name}.int8`;
export const scalesName = (name: string) => `${name}.scales`;

/** The matrices that generation in int8 multiplies by: those of the layers and the head. */
export function quantizedMatrices(config: ModelConfig): readonly ParameterSpecification[] {
  const head = headName(config);
  return parameterLayout(config)
    .flat()
    .filter(({ name, kind }) => kind === "matrix" && (name === head || name.includes(".layers.")));
}

/** A matrix [out, in] as int8 [in, out], with one scale for each output: weight ≈ scale · int8. */
interface QuantizedMatrix {
  readonly name: string;
  readonly inputs: number;
  readonly outputs: number;
  readonly columns: Int8Array;
  readonly scales: Float32Array;
}

/** The int8 form of a model's matrices, in memory of its own. */
export class QuantizedWeights {
  readonly #matrices: readonly QuantizedMatrix[];

  constructor(config: ModelConfig) {
    this.#matrices = quantizedMatrices(config).map(({ name, shape }) => {
      const [outputs, inputs] = shape as readonly [number, number];
      const columns = new Int8Array(inputs * outputs);
      return { name, inputs, outputs, columns, scales: new Float32Array(outputs) };
    });
  }

  /** Views on the memory that `update` fills. */
  tensors(): Record<string, Tensor> {
    return Object.fromEntries(
      this.#matrices.flatMap(({ name, inputs, outputs, columns, scales }): [string, Tensor][] => [
        [quantizedName(name), { type: "int8", shape: [inputs, outputs], data: columns }],
        [scalesName(name), { type: "float32", shape: [outputs], data: scales }],
      ]),
    );
  }

  /** Takes over the weights as they are now: about 6 ms a million. */
  update(parameters: ParameterStore): void {
    for (const { name, columns, scales } of this.#matrices)
      quantizeRows(floatsOf(parameters.get(name)), columns, scales);
  }
}

/**
 * Rounds each row of a matrix [out, in] to int8, symmetrically, with the scale max |row| / 64, and transposes it. A row
 * with a number that is not finite gets a scale that is not either, and so does everything computed with it.
 * @param columns receives [in, out]
 * @param scales receives [out]
 */
export function quantizeRows(matrix: Float32Array, columns: Int8Array, scales: Float32Array): void {
  const outputs = scales.length;
  const inputs = matrix.length / outputs;
  const factors = new Float64Array(BLOCK_ROWS);
  for (let start = 0; start < outputs; start += BLOCK_ROWS) {
    const rows = Math.min(BLOCK_ROWS, outputs - start);
    for (let row = 0; row < rows; row++) {
      const largest = largestMagnitude(matrix, (start + row) * inputs, inputs);
      scales[start + row] = largest / MAX_WEIGHT;
      factors[row] = largest === 0 ? 0 : MAX_WEIGHT / largest;
    }
    for (let input = 0; input < inputs; input++) {
      const target = input * outputs + start;
      let source = start * inputs + input;
      for (let row = 0; row < rows; row++) {
        columns[target + row] = matrix[source]! * factors[row]! + ROUNDING - ROUNDING;
        source += inputs;
      }
    }
  }
}

/** max |x|, or NaN if one is NaN. */
function largestMagnitude(data: Float32Array, start: number, length: number): number {
  let largest = 0;
  for (let index = start; index < start + length; index++) largest = Math.max(largest, Math.abs(data[index]!));
  return largest;
}
