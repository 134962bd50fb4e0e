import { elementCount, resolveShape, type Shape } from "../graph/index.js";
import { streamedArray } from "../runtime/huge-pages.js";
import type { Tensor } from "../runtime/types.js";

export type FloatTensor = Tensor & { readonly data: Float32Array };

/**
 * Named float buffers that grow to the largest size asked for and are then reused, so that a step allocates nothing.
 * What a buffer holds is only meaningful between the run that writes it and the runs that read it.
 */
export class BufferPool {
  private readonly buffers = new Map<string, Float32Array>();
  /** Changes whenever a buffer moved: bound runs of an older generation point to memory that is no longer used. */
  generation = 0;

  /** A tensor of a shape on the buffer of a name. Asking for the name again gives the same memory. */
  tensor(name: string, shape: Shape, sizes: Readonly<Record<string, number>>): FloatTensor {
    const resolved = resolveShape(shape, sizes);
    const count = elementCount(resolved);
    let buffer = this.buffers.get(name);
    if (!buffer || buffer.length < count) {
      buffer = streamedArray(count);
      this.buffers.set(name, buffer);
      this.generation++;
    }
    return float(buffer.subarray(0, count), resolved);
  }

  /** The same for integers. A name is either of floats or of one type of integers. */
  integers(name: string, shape: readonly number[], type: "int32" | "int64"): Tensor {
    const count = elementCount(shape);
    const { buffer, byteOffset } = this.tensor(name, [type === "int64" ? 2 * count : count], {}).data;
    const data =
      type === "int64" ? new BigInt64Array(buffer, byteOffset, count) : new Int32Array(buffer, byteOffset, count);
    return { type, shape, data };
  }

  clear(): void {
    this.buffers.clear();
    this.generation++;
  }
}

export function float(data: Float32Array, shape: readonly number[]): FloatTensor {
  return { type: "float32", shape, data };
}
