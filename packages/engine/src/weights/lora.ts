import { RandomStream } from "../generation/random.js";
import type { ModelConfig } from "./config.js";
import {
  floatsOf,
  type Parameter,
  type ParameterSpecification,
  ParameterStore,
  parameterLayout,
} from "./parameters.js";

/** The matrices of a decoder layer that can have an adapter, in the order of the computation; `all-linear` is all. */
export const loraTargets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"] as const;
export type LoraTarget = (typeof loraTargets)[number];

/** Low-rank adaptation (Hu et al. 2021): y = x Wᵀ + alpha / rank · (x Aᵀ) Bᵀ with A [rank, in], B [out, rank], W frozen. */
export interface LoraConfig {
  readonly rank: number;
  readonly alpha: number;
  /** At least one, in the order of `loraTargets`. */
  readonly targets: readonly LoraTarget[];
}

/** Adapters of every layer of a model. Names are the matrices' without `.weight`, plus `.lora_A.weight` or `.lora_B.weight`. */
export interface LoraAdapter {
  readonly config: LoraConfig;
  readonly parameters: ParameterStore;
}

export const loraScale = ({ rank, alpha }: LoraConfig): number => alpha / rank;

/** The names of a matrix's adapter in the store: `…q_proj.weight` → `…q_proj.lora_A.weight` and `…q_proj.lora_B.weight`. */
export function loraNames(weightName: string): { readonly a: string; readonly b: string } {
  const module = weightName.replace(/\.weight$/, "");
  return { a: `${module}.lora_A.weight`, b: `${module}.lora_B.weight` };
}

/**
 * Checks a configuration and puts its targets in order.
 * @throws Error that names the key, its value and what would be right
 */
export function loraConfig(options: {
  readonly rank: number;
  readonly alpha: number;
  readonly targets?: readonly string[] | "all-linear";
}): LoraConfig {
  const { rank, alpha, targets = "all-linear" } = options;
  if (!Number.isSafeInteger(rank) || rank < 1)
    throw new Error(`lora.rank is ${rank}; it must be a whole number of at least 1.`);
  if (!(Number.isFinite(alpha) && alpha > 0)) throw new Error(`lora.alpha is ${alpha}; it must be a number above 0.`);
  if (targets === "all-linear") return { rank, alpha, targets: loraTargets };
  const unknown = targets.filter((target) => !loraTargets.some((known) => known === target));
  if (unknown.length > 0 || targets.length === 0)
    throw new Error(
      `lora.targets is [${targets.join(", ")}]; it must name some of ${loraTargets.join(", ")}, or be "all-linear".`,
    );
  return { rank, alpha, targets: loraTargets.filter((target) => targets.includes(target)) };
}

/** All adapters of a model in their order in memory, as `parameterLayout`. */
export function adapterLayout(
  config: ModelConfig,
  { rank, targets }: LoraConfig,
): readonly (readonly ParameterSpecification[])[] {
  return parameterLayout(config)
    .flat()
    .filter(({ name }) => targets.some((target) => name.endsWith(`.${target}.weight`)))
    .flatMap(({ name, shape }) => {
      const { a, b } = loraNames(name);
      return [
        [{ name: a, shape: [rank, shape[1]!], kind: "matrix" as const }],
        [{ name: b, shape: [shape[0]!, rank], kind: "matrix" as const }],
      ];
    });
}

/** An adapter of zeros; `gradients: false` saves their memory, for an adapter that is not trained. */
export function emptyAdapter(
  model: ModelConfig,
  config: LoraConfig,
  options: { readonly gradients?: boolean } = {},
): LoraAdapter {
  return { config, parameters: new ParameterStore(adapterLayout(model, config), options) };
}

/**
 * A fresh adapter as PEFT makes one: A from Kaiming's uniform distribution with a = √5, that is ±1 / √in; B zero, so that
 * the model starts as it is. Tensor i of the adapter's layout draws from the stream (seed, 2^31 + i): no weight shares it.
 */
export function freshAdapter(model: ModelConfig, config: LoraConfig, seed: number): LoraAdapter {
  const adapter = emptyAdapter(model, config);
  for (const [index, { name, shape, data }] of [...adapter.parameters.parameters.values()].entries()) {
    if (!name.endsWith(".lora_A.weight")) continue;
    const stream = new RandomStream(seed, 2 ** 31 + index);
    const bound = 1 / Math.sqrt(shape[1]!);
    for (let i = 0; i < data.length; i++) data[i] = bound * (2 * stream.next() - 1);
  }
  return adapter;
}

/** Whether an adapter changes nothing, as a fresh one: every B is zero. */
export function isNeutral({ parameters }: LoraAdapter): boolean {
  return [...parameters.parameters.values()]
    .filter(({ name }) => name.endsWith(".lora_B.weight"))
    .every(({ data }) => data.every((value) => value === 0));
}

/** A copy of a matrix with its adapter added: W + alpha / rank · B A. The matrix itself where it has no adapter. */
export function mergedWeight(parameter: Parameter, adapter: LoraAdapter | undefined): Float32Array {
  const { name, shape } = parameter;
  const weight = floatsOf(parameter);
  const names = loraNames(name);
  const a = adapter?.parameters.parameters.get(names.a)?.data;
  const b = adapter?.parameters.parameters.get(names.b)?.data;
  if (!adapter || !a || !b) return weight;
  const { rank } = adapter.config;
  const scale = loraScale(adapter.config);
  const [rows, columns] = shape as readonly [number, number];
  const merged = parameter.type === "float32" ? weight.slice() : weight;
  for (let row = 0; row < rows; row++)
    for (let k = 0; k < rank; k++) {
      const factor = scale * b[row * rank + k]!;
      if (factor === 0) continue;
      const start = row * columns;
      const from = k * columns;
      for (let column = 0; column < columns; column++) merged[start + column]! += factor * a[from + column]!;
    }
  return merged;
}
