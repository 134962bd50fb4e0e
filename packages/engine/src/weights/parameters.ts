import { streamedArray } from "../runtime/huge-pages.js";
import type { Tensor } from "../runtime/types.js";
import type { ModelConfig } from "./config.js";
import { type FloatType, widen } from "./half.js";

export type ParameterKind = "matrix" | "norm" | "bias";

/** One tensor of the model under its Hugging Face name. */
export interface ParameterSpecification {
  readonly name: string;
  /** Matrices are [out, in], as PyTorch's Linear has them. */
  readonly shape: readonly number[];
  readonly kind: ParameterKind;
}

export interface Parameter extends ParameterSpecification {
  /** First element in the arenas. */
  readonly offset: number;
  /** What is kept: float32, or, of weights that are not trained, the 16 bits of a file. */
  readonly type: FloatType;
  /**
   * Views into the store's arenas: live, not copies. The gradient is empty if the store has none; `data` is if the type has
   * 16 bits, and `halves` if it has not.
   */
  readonly data: Float32Array;
  readonly halves: Uint16Array;
  readonly gradient: Float32Array;
}

/** The numbers of a parameter as float32, exactly: a live view, or a copy where they are kept in 16 bits. */
export function floatsOf({ type, data, halves }: Parameter): Float32Array {
  if (type === "float32") return data;
  const floats = new Float32Array(halves.length);
  widen(halves, type, floats);
  return floats;
}

/** Fills `target` with the numbers of a parameter from `start` on. */
export function readFloats({ type, data, halves }: Parameter, start: number, target: Float32Array): void {
  const end = start + target.length;
  if (type === "float32") target.set(data.subarray(start, end));
  else widen(halves.subarray(start, end), type, target);
}

/** A parameter as an input of a graph. */
export function tensorOf({ type, shape, data, halves }: Parameter): Tensor {
  return { type, shape, data: type === "float32" ? data : halves };
}

/** Elements that the start of a run of parameters is aligned to: one cache line of float32. */
const ALIGNMENT = 16;

/**
 * All tensors of a model in their order in memory. Parameters in one inner list lie next to each other without a gap, so
 * that q, k, v (and gate, up) can also be used as one matrix.
 */
export function parameterLayout(config: ModelConfig): readonly (readonly ParameterSpecification[])[] {
  const { hiddenSize, intermediateSize, headDimension } = config;
  const queryRows = config.headCount * headDimension;
  const keyRows = config.keyValueHeadCount * headDimension;
  const runs: ParameterSpecification[][] = [];
  const run = (...specifications: (ParameterSpecification | false)[]) =>
    runs.push(specifications.filter((specification) => specification !== false));
  const matrix = (name: string, rows: number, columns: number): ParameterSpecification => ({
    name,
    shape: [rows, columns],
    kind: "matrix",
  });
  const vector = (kind: "norm" | "bias", name: string, size: number): ParameterSpecification => ({
    name,
    shape: [size],
    kind,
  });

  run(matrix("model.embed_tokens.weight", config.vocabularySize, hiddenSize));
  for (let layer = 0; layer < config.layerCount; layer++) {
    const prefix = `model.layers.${layer}.`;
    const attention = `${prefix}self_attn.`;
    run(vector("norm", `${prefix}input_layernorm.weight`, hiddenSize));
    run(
      matrix(`${attention}q_proj.weight`, queryRows, hiddenSize),
      matrix(`${attention}k_proj.weight`, keyRows, hiddenSize),
      matrix(`${attention}v_proj.weight`, keyRows, hiddenSize),
    );
    if (config.queryKeyValueBias) {
      run(
        vector("bias", `${attention}q_proj.bias`, queryRows),
        vector("bias", `${attention}k_proj.bias`, keyRows),
        vector("bias", `${attention}v_proj.bias`, keyRows),
      );
    }
    if (config.queryKeyNorm) {
      run(vector("norm", `${attention}q_norm.weight`, headDimension));
      run(vector("norm", `${attention}k_norm.weight`, headDimension));
    }
    run(matrix(`${attention}o_proj.weight`, hiddenSize, queryRows));
    if (config.outputBias) run(vector("bias", `${attention}o_proj.bias`, hiddenSize));
    run(vector("norm", `${prefix}post_attention_layernorm.weight`, hiddenSize));
    run(
      matrix(`${prefix}mlp.gate_proj.weight`, intermediateSize, hiddenSize),
      matrix(`${prefix}mlp.up_proj.weight`, intermediateSize, hiddenSize),
    );
    if (config.mlpBias) {
      run(
        vector("bias", `${prefix}mlp.gate_proj.bias`, intermediateSize),
        vector("bias", `${prefix}mlp.up_proj.bias`, intermediateSize),
      );
    }
    run(matrix(`${prefix}mlp.down_proj.weight`, hiddenSize, intermediateSize));
    if (config.mlpBias) run(vector("bias", `${prefix}mlp.down_proj.bias`, hiddenSize));
  }
  run(vector("norm", "model.norm.weight", hiddenSize));
  if (!config.tiedEmbeddings) run(matrix("lm_head.weight", config.vocabularySize, hiddenSize));
  return runs;
}

/**
 * Whether a frozen parameter may be kept in 16 bits: matrices may, but for the head, whose products are cut into chunks of
 * rows and would widen it for each.
 */
export function mayKeepHalves(config: ModelConfig, { name, kind }: ParameterSpecification): boolean {
  return kind === "matrix" && name !== (config.tiedEmbeddings ? "model.embed_tokens.weight" : "lm_head.weight");
}

/** Numbers in all tensors of a layout. */
export function countParameters(layout: readonly (readonly ParameterSpecification[])[]): number {
  return layout.flat().reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0);
}

export interface StoreOptions {
  /** False saves the memory of gradients, for weights that are not trained. Default true. */
  readonly gradients?: boolean;
  /** How a parameter is kept; only one without gradients may have 16 bits. Default float32. */
  readonly typeOf?: (specification: ParameterSpecification) => FloatType;
}

/**
 * All parameters of a layout in one Float32Array, and their gradients in a second one of the same layout, so that a
 * graph, the optimizer and a file read the same memory. Those that are kept in 16 bits have an array of their own.
 */
export class ParameterStore {
  readonly parameters: ReadonlyMap<string, Parameter>;
  /** The arenas. Elements between parameters are zero and stay so. */
  readonly data: Float32Array;
  readonly halves: Uint16Array;
  readonly gradients: Float32Array;
  /** Number of parameters, without the gaps. */
  readonly parameterCount: number;

  /** All zeros. */
  constructor(
    private readonly layout: readonly (readonly ParameterSpecification[])[],
    private readonly options: StoreOptions = {},
  ) {
    const { gradients = true, typeOf = () => "float32" } = options;
    const placed: (Omit<Parameter, "data" | "halves" | "gradient"> & { readonly size: number })[] = [];
    const ends = { floats: 0, halves: 0 };
    for (const run of layout) {
      for (const kind of ["floats", "halves"] as const) ends[kind] = Math.ceil(ends[kind] / ALIGNMENT) * ALIGNMENT;
      for (const specification of run) {
        const type = typeOf(specification);
        const arena = type === "float32" ? "floats" : "halves";
        const size = specification.shape.reduce((product, dimension) => product * dimension, 1);
        placed.push({ ...specification, type, offset: ends[arena], size });
        ends[arena] += size;
      }
    }
    if (gradients && ends.halves > 0) throw new Error("Weights that are trained are kept in float32.");
    this.data = streamedArray(ends.floats);
    this.halves = new Uint16Array(streamedArray(Math.ceil(ends.halves / 2)).buffer, 0, ends.halves);
    this.gradients = streamedArray(gradients ? ends.floats : 0);
    this.parameterCount = placed.reduce((sum, { size }) => sum + size, 0);
    this.parameters = new Map(
      placed.map(({ size, ...specification }) => {
        const { name, type, offset } = specification;
        const [floats, halves] = type === "float32" ? [size, 0] : [0, size];
        const data = this.data.subarray(offset, offset + floats);
        const gradient = this.gradients.subarray(offset, offset + floats);
        return [name, { ...specification, data, halves: this.halves.subarray(offset, offset + halves), gradient }];
      }),
    );
  }

  /** @throws Error if the model has no such parameter. */
  get(name: string): Parameter {
    const parameter = this.parameters.get(name);
    if (parameter === undefined) throw new Error(`The model has no parameter "${name}"`);
    return parameter;
  }

  /**
   * Parameters that lie next to each other as one: rows are concatenated, [Σ rows, columns] (or [Σ size]).
   * @throws Error if they are not adjacent in the order given.
   */
  fused(names: readonly string[]): {
    readonly shape: readonly number[];
    readonly data: Float32Array;
    readonly gradient: Float32Array;
  } {
    const parts = names.map((name) => this.get(name));
    const start = parts[0]!.offset;
    let end = start;
    for (const part of parts) {
      if (part.type !== "float32") throw new Error(`"${part.name}" is kept as ${part.type}`);
      if (part.offset !== end) throw new Error(`"${part.name}" does not follow its predecessor in memory`);
      end += part.data.length;
    }
    const rows = parts.reduce((sum, part) => sum + part.shape[0]!, 0);
    return {
      shape: [rows, ...parts[0]!.shape.slice(1)],
      data: this.data.subarray(start, end),
      gradient: this.gradients.subarray(start, end),
    };
  }

  /** An independent copy of the weights, without gradients. */
  copyWeights(): ParameterStore {
    const copy = new ParameterStore(this.layout, { ...this.options, gradients: false });
    copy.data.set(this.data);
    copy.halves.set(this.halves);
    return copy;
  }
}
