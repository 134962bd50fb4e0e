/** What training in the embedded engine takes of this machine's memory, from config.json alone. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { InputError } from "../config/errors.js";
import type { RunConfig } from "../config/schema.js";
import { modelFilesDirectory } from "./adapter-directory.js";

export interface MemoryPlan {
  /** Bytes of training at its peak; generation's keys and values (4 GiB at most) come on top. */
  readonly peak: number;
  /** Bytes that training may plan with (engine.memoryGiB). */
  readonly budget: number;
  readonly weights: number;
}

/** Padded tokens of a micro-batch where the configuration does not say. */
const MICRO_BATCH_TOKENS = 1024;

/**
 * Null for an engine elsewhere, and for one whose memory is a device's.
 * @param longest tokens of the longest sequence that is trained
 * @throws InputError with advice if it cannot fit
 */
export async function planMemory(engine: RunConfig["engine"], longest: number): Promise<MemoryPlan | null> {
  if (engine.type !== "embedded" || engine.device === "webgpu" || engine.device === "cuda") return null;
  const { model, lora, threads, microBatchTokens = MICRO_BATCH_TOKENS, memoryGiB, recompute = "auto" } = engine;
  const { defaultMemoryBytes, estimateTrainingMemory, loraConfig, parseModelConfig, peakBytes } = await import(
    "@critique-grpo/engine"
  );
  const path = typeof model === "string" ? join(modelFilesDirectory(model), "config.json") : model.config;
  const config = inputOf(() => parseModelConfig(JSON.parse(readFileSync(path, "utf8")), path));
  const demand = { config, lora: lora ? loraConfig(lora) : undefined, threads, longest, microBatchTokens };
  const estimate = estimateTrainingMemory(demand);
  const budget = memoryGiB === undefined ? defaultMemoryBytes() : memoryGiB * 2 ** 30;
  const limits = { auto: budget, always: 0, never: Number.POSITIVE_INFINITY } as const;
  const peak = peakBytes(estimate, limits[recompute]);
  if (peak > budget) throw new InputError(tooLarge(engine, { peak, budget, weights: estimate.weights }, longest));
  return { peak, budget, weights: estimate.weights };
}

/** A config.json that cannot be read or is not supported is the user's to mend. */
function inputOf<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new InputError((error as Error).message, { cause: error });
  }
}

function tooLarge(
  { lora, recompute }: Extract<RunConfig["engine"], { type: "embedded" }>,
  { peak, budget }: MemoryPlan,
  longest: number,
): string {
  const advice = [
    ...(lora ? [] : ["set engine.lora (adapters need no gradients and optimizer state of the weights)"]),
    ...(recompute === "never" ? ["set engine.recompute to auto"] : []),
    `make sequences shorter (sampling.maxTokens; the longest has ${longest} tokens)`,
    "set engine.threads to 1 (one micro-batch at a time)",
    "raise engine.memoryGiB if the machine has more",
  ];
  return `training needs about ${gibibytes(peak)}, but may plan with ${gibibytes(budget)} (engine.memoryGiB; default 70 % of the machine's memory): ${advice.join("; or ")}`;
}

export const gibibytes = (bytes: number) => `${(bytes / 2 ** 30).toFixed(bytes < 10 * 2 ** 30 ? 1 : 0)} GiB`;
