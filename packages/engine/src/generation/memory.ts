import type { GenerationPrecision } from "../types.js";
import { countParameters, type ModelConfig, parameterLayout } from "../weights/index.js";
import { BatchBuffers, usesConstants } from "./generation-model.js";
import { defaultCacheBytes, slotCapacity } from "./generator.js";
import { cacheBytes } from "./key-value-cache.js";
import { MAX_PADDED_TOKENS } from "./prefill.js";

export interface GenerationDemand {
  readonly config: ModelConfig;
  /** Sequences that one call to `sample` asks for. */
  readonly sequences: number;
  /** Tokens of the longest of them, prompt included. */
  readonly longest: number;
  /** Of rollouts; evaluations are in float32 in any case. */
  readonly precision?: GenerationPrecision | undefined;
}

/** Bytes of generation at its peak, by what they are for; weights are apart. They are kept between calls. */
export interface GenerationEstimate {
  /** What ONNX Runtime keeps of weights that are constants: prepared for its products. */
  readonly constants: number;
  /** Keys and values, logits and probabilities of the sequences in progress. */
  readonly slots: number;
  /** Keys and values of prompts on their way into a slot. */
  readonly prefill: number;
}

/** Estimates from shapes alone; nothing is loaded. */
export function estimateGenerationMemory(demand: GenerationDemand): GenerationEstimate {
  const { config, sequences, longest, precision } = demand;
  const parameterCount = countParameters(parameterLayout(config));
  const capacity = slotCapacity(longest);
  const bytesPerSequence = cacheBytes(config, capacity) + BatchBuffers.bytesPerRow(config);
  const slots = Math.min(sequences, Math.max(1, Math.floor(defaultCacheBytes() / bytesPerSequence)));
  // The table of an untied embedding is looked up, not multiplied with: it stays where it is.
  const lookedUp = config.tiedEmbeddings ? 0 : config.vocabularySize * config.hiddenSize;
  const multiplied = parameterCount - lookedUp;
  // One precision at a time is prepared. Of int8 there are the numbers and what ONNX Runtime makes of them.
  const inFloat32 = usesConstants(parameterCount) ? 4 * multiplied : 0;
  return {
    constants: precision === "int8" ? Math.max(2 * multiplied, inFloat32) : inFloat32,
    slots: slots * bytesPerSequence,
    prefill: cacheBytes(config, Math.max(longest, MAX_PADDED_TOKENS)),
  };
}
