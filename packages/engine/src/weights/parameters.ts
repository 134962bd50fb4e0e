import { streamedArray } from "../runtime/huge-pages.js";
import type { ModelConfig } from "./config.js";

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
  /** Views into the store's arenas: live, not copies. The gradient is empty if the store has none. */
  readonly data: Float32Array;
  readonly gradient: Float32Array;
}

/** Elements that the start of a run of parameters is aligned to: one cache line. */
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
 * All parameters of a layout in one Float32Array, and their gradients in a second one of the same layout, so that a
 * graph, the optimizer and a file read the same memory.
 */
export class ParameterStore {
  readonly parameters: ReadonlyMap<string, Parameter>;
  /** The arenas. Elements between parameters are zero and stay so. */
  readonly data: Float32Array;
  readonly gradients: Float32Array;
  /** Number of parameters, without the gaps. */
  readonly parameterCount: number;

  /** All zeros. `gradients: false` saves their memory, for weights that are not trained. */
  constructor(
    private readonly layout: readonly (readonly ParameterSpecification[])[],
    options: { readonly gradients?: boolean } = {},
  ) {
    const placed: (ParameterSpecification & { readonly offset: number; readonly size: number })[] = [];
    let end = 0;
    for (const run of layout) {
      end = Math.ceil(end / ALIGNMENT) * ALIGNMENT;
      for (const specification of run) {
        const size = specification.shape.reduce((product, dimension) => product * dimension, 1);
        placed.push({ ...specification, offset: end, size });
        end += size;
      }
    }
    this.data = streamedArray(end);
    this.gradients = streamedArray(options.gradients === false ? 0 : end);
    this.parameterCount = placed.reduce((sum, { size }) => sum + size, 0);
    this.parameters = new Map(
      placed.map(({ size, ...specification }) => [
        specification.name,
        {
          ...specification,
          data: this.data.subarray(specification.offset, specification.offset + size),
          gradient: this.gradients.subarray(specification.offset, specification.offset + size),
        },
      ]),
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
    const copy = new ParameterStore(this.layout, { gradients: false });
    copy.data.set(this.data);
    return copy;
  }
}
