import { streamedArray } from "../runtime/huge-pages.js";
import type { Tensor } from "../runtime/types.js";
import type { ModelConfig } from "../weights/index.js";
import {
  cacheHeadDimension,
  pastKeyName,
  pastValueName,
  presentKeyName,
  presentValueName,
} from "./generation-graph.js";

/** Bytes of the keys and values of one sequence of a length. */
export function cacheBytes(config: ModelConfig, tokens: number): number {
  return 2 * 4 * config.layerCount * config.keyValueHeadCount * cacheHeadDimension(config) * tokens;
}

/**
 * Keys and values of several sequences: for each layer two arrays [slots, keyValueHeads, capacity, headDimension] that
 * ONNX Runtime extends in place.
 */
export class KeyValueCache {
  readonly slots: number;
  /** Tokens a sequence may have. */
  readonly capacity: number;
  readonly #heads: number;
  readonly #headDimension: number;
  /** Key, value of layer 0, key, value of layer 1, … */
  readonly #arrays: readonly Float32Array[];

  constructor(config: ModelConfig, slots: number, capacity: number) {
    this.slots = slots;
    this.capacity = capacity;
    this.#heads = config.keyValueHeadCount;
    this.#headDimension = cacheHeadDimension(config);
    const elements = slots * this.#heads * capacity * this.#headDimension;
    // One piece of memory, which may have huge pages: every step reads all of it.
    const memory = streamedArray(2 * config.layerCount * elements);
    this.#arrays = Array.from({ length: 2 * config.layerCount }, (_, index) =>
      memory.subarray(index * elements, (index + 1) * elements),
    );
  }

  /** Adds `rows` slots, from `firstSlot` on, to the inputs and outputs of a run. */
  bindTo(feeds: Record<string, Tensor>, fetches: Record<string, Tensor>, rows: number, firstSlot: number): void {
    const slotElements = this.#heads * this.capacity * this.#headDimension;
    for (const [index, array] of this.#arrays.entries()) {
      const layer = index >> 1;
      const isKey = index % 2 === 0;
      const tensor: Tensor = {
        type: "float32",
        shape: [rows, this.#heads, this.capacity, this.#headDimension],
        data: array.subarray(firstSlot * slotElements, (firstSlot + rows) * slotElements),
      };
      feeds[isKey ? pastKeyName(layer) : pastValueName(layer)] = tensor;
      fetches[isKey ? presentKeyName(layer) : presentValueName(layer)] = tensor;
    }
  }

  /** Copies the first `tokens` tokens of a slot of another cache (or of this one) into a slot. */
  copyFrom(source: KeyValueCache, sourceSlot: number, slot: number, tokens: number): void {
    const length = tokens * this.#headDimension;
    const sourceStride = source.capacity * this.#headDimension;
    const stride = this.capacity * this.#headDimension;
    for (const [index, target] of this.#arrays.entries()) {
      const from = source.#arrays[index]!;
      for (let head = 0; head < this.#heads; head++) {
        const start = (sourceSlot * this.#heads + head) * sourceStride;
        target.set(from.subarray(start, start + length), (slot * this.#heads + head) * stride);
      }
    }
  }
}
