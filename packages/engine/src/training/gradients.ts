import type { Tensor } from "../runtime/types.js";
import { type Parameter, type ParameterStore, readFloats, tensorOf } from "../weights/index.js";
import { type FloatTensor, float } from "./buffers.js";

/**
 * Where a lane accumulates: the trained store's own gradient arena, or one of the same layout. Lanes run at the same time, so
 * each needs its own; they are summed in the order of the lanes, whichever ends first.
 */
export class GradientArena {
  /** @param trained the store that the optimizer changes: the model's own, or its adapter's */
  constructor(
    private readonly store: ParameterStore,
    private readonly trained: ParameterStore,
    readonly data: Float32Array,
  ) {}

  weight(name: string): Tensor {
    return tensorOf(this.trained.parameters.get(name) ?? this.store.get(name));
  }

  /** Fills `target` with the numbers of a weight from `start` on. */
  readWeight(name: string, start: number, target: Float32Array): void {
    readFloats(this.trained.parameters.get(name) ?? this.store.get(name), start, target);
  }

  gradient(name: string): FloatTensor {
    const { offset, data, shape }: Parameter = this.trained.get(name);
    return float(this.data.subarray(offset, offset + data.length), shape);
  }

  /** Moves everything to another arena: adds it there and clears it here. */
  flushTo(target: Float32Array): void {
    const source = this.data;
    for (let i = 0; i < source.length; i++) target[i]! += source[i]!;
    source.fill(0);
  }
}
