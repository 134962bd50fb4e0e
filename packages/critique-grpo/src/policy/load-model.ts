import type { LanguageModel, LoadOptions, ModelSource } from "@critique-grpo/engine";

/** The engine's `loadModel`, imported on first use: whoever just reads run directories needs no native library. */
export async function loadModel(source: ModelSource, options?: LoadOptions): Promise<LanguageModel> {
  const engine = await import("@critique-grpo/engine");
  return engine.loadModel(source, options);
}
