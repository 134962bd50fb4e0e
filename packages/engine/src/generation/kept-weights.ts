import { add, gemm, type Value, widened } from "../graph/index.js";
import { embeddingName, type ProjectionStrategy } from "../model/index.js";
import type { ElementType } from "../runtime/types.js";
import type { GenerationPrecision } from "../types.js";
import { type FloatType, type ModelConfig, parameterLayout } from "../weights/index.js";
import { quantizedMatrices, quantizedName, scalesName } from "./quantization.js";
import { quantizedProjection } from "./quantized-linear.js";

/** How the weights of a generation graph come. */
export interface KeptWeights {
  /** Default "float32". */
  readonly precision?: GenerationPrecision;
  /** Default: all as float32. */
  readonly typeOf?: (name: string) => FloatType;
}

interface WeightSpecification {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: ElementType;
}

/** The weights that the graph takes in: with int8 a matrix in two parts, but the table of embeddings as it is kept. */
export function weightSpecifications(
  config: ModelConfig,
  { precision = "float32", typeOf = () => "float32" }: KeptWeights,
): readonly WeightSpecification[] {
  const matrices = precision === "int8" ? quantizedMatrices(config) : [];
  const inTwoParts = new Set(matrices.map(({ name }) => name).filter((name) => name !== embeddingName));
  const whole = parameterLayout(config)
    .flat()
    .filter(({ name }) => !inTwoParts.has(name));
  return [
    ...whole.map(({ name, shape }) => ({ name, shape, type: typeOf(name) })),
    ...matrices.flatMap(({ name, shape: [outputs, inputs] }): WeightSpecification[] => [
      { name: quantizedName(name), shape: [inputs!, outputs!], type: "int8" },
      { name: scalesName(name), shape: [outputs!], type: "float32" },
    ]),
  ];
}

/** Products of float32 weights [out, in] that begin with what they are added to: a pass over memory less. */
const accumulatingProjection: ProjectionStrategy = (x, weight, { bias, factors, residual } = {}) => {
  const start = residual && bias ? add(residual, bias) : (residual ?? bias);
  const y = gemm(x, weight, { transposeB: true, c: start });
  if (!factors) return y;
  const projected = gemm(x, factors.a, { transposeB: true });
  return gemm(projected, factors.b, { transposeB: true, alpha: factors.scale, c: y });
};

/** The weights by the names of the layout, and how rows are multiplied by them. */
interface UsedWeights {
  readonly weights: ReadonlyMap<string, Value>;
  readonly projection: ProjectionStrategy;
}

/** @param stored the graph's inputs that `weightSpecifications` lists, by name */
export function usedWeights(
  config: ModelConfig,
  { precision }: KeptWeights,
  stored: ReadonlyMap<string, Value>,
): UsedWeights {
  const floats = [...stored].filter(([, { type }]) => type !== "int8");
  const weights = new Map(floats.map(([name, value]) => [name, widened(value)]));
  if (precision !== "int8") return { weights, projection: accumulatingProjection };
  const scales = new Map<Value, Value>();
  for (const { name } of quantizedMatrices(config)) {
    const columns = stored.get(quantizedName(name))!;
    weights.set(name, columns);
    scales.set(columns, stored.get(scalesName(name))!);
  }
  return { weights, projection: quantizedProjection(scales) };
}
