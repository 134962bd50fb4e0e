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
export function estimateGenerationMemory({ config, sequences, longest }: GenerationDemand): GenerationEstimate {
  const parameterCount = countParameters(parameterLayout(config));
  const capacity = slotCapacity(longest);
  const bytesPerSequence = cacheBytes(config, capacity) + BatchBuffers.bytesPerRow(config);
  const slots = Math.min(sequences, Math.max(1, Math.floor(defaultCacheBytes() / bytesPerSequence)));
  // The table of an untied embedding is looked up, not multiplied with: it stays where it is.
  const lookedUp = config.tiedEmbeddings ? 0 : config.vocabularySize * config.hiddenSize;
  return {
    constants: usesConstants(parameterCount) ? 4 * (parameterCount - lookedUp) : 0,
    slots: slots * bytesPerSequence,
    prefill: cacheBytes(config, Math.max(longest, MAX_PADDED_TOKENS)),
  };
}
