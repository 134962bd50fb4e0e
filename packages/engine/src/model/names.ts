import type { ModelConfig } from "../weights/index.js";

/** Hugging Face names of the parameters that do not belong to a layer. */
export const embeddingName = "model.embed_tokens.weight";
export const finalNormName = "model.norm.weight";

/** The head's weight: a tensor of its own, or the embedding where they are tied. */
export function headName(config: ModelConfig): string {
  return config.tiedEmbeddings ? embeddingName : "lm_head.weight";
}

export function layerPrefix(layer: number): string {
  return `model.layers.${layer}.`;
}
