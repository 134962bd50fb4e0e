/** What training in the embedded engine takes of this machine's memory, from config.json alone. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { LoraConfig, ModelConfig } from "@critique-grpo/engine";
import { InputError } from "../config/errors.js";
import type { RunConfig } from "../config/schema.js";
import { modelFilesDirectory } from "./adapter-directory.js";

export interface MemoryPlan {
  /** Bytes of training at its peak. */
  readonly peak: number;
  /** Bytes that training may plan with (engine.memoryGiB). */
  readonly budget: number;
  readonly weights: number;
  /** Bytes that sampling keeps beside them: keys and values, constant weights. */
  readonly generation: number;
}

/** What a run asks of the engine. */
export interface MemoryUse {
  /** Tokens of the longest sequence that is trained. */
  readonly longest: number;
  /** Sequences that are sampled at a time, and the tokens of the longest one; absent: nothing is sampled. */
  readonly sampling?: { readonly sequences: number; readonly longest: number };
  /** The starting weights are kept for a KL term. */
  readonly reference?: boolean;
}

type EmbeddedEngine = Extract<RunConfig["engine"], { type: "embedded" }>;

/**
 * Null for an engine elsewhere, and for one whose memory is a device's.
 * @throws InputError with advice if it cannot fit
 */
export async function planMemory(engine: RunConfig["engine"], use: MemoryUse): Promise<MemoryPlan | null> {
  if (engine.type !== "embedded" || engine.device === "webgpu" || engine.device === "cuda") return null;
  const { threads, microBatchTokens, memoryGiB, recompute = "auto" } = engine;
  const engineModule = await import("@critique-grpo/engine");
  const { estimateGenerationMemory, estimateTrainingMemory, peakBytes } = engineModule;
  const { config, lora } = await describeModel(engine);
  const { longest, reference } = use;
  const keepHalves = engine.frozenWeights === "stored" && has16Bits(config);
  const demand = { config, lora, threads, longest, microBatchTokens, reference, keepHalves };
  const estimate = estimateTrainingMemory(demand);
  const budget = memoryGiB === undefined ? engineModule.defaultMemoryBytes() : memoryGiB * 2 ** 30;
  const limits = { auto: budget, always: 0, never: Number.POSITIVE_INFINITY } as const;
  const peak = peakBytes(estimate, limits[recompute]);
  const sampling =
    use.sampling && estimateGenerationMemory({ config, precision: engine.rolloutPrecision, ...use.sampling });
  const generation = sampling ? sampling.constants + sampling.slots + sampling.prefill : 0;
  const plan = { peak, budget, weights: estimate.weights, generation };
  const advice = adviceFor(engine, { lora, keepHalves, longest, has16Bits: has16Bits(config) });
  if (peak > budget)
    throw new InputError(
      `training needs about ${gibibytes(peak)}, but may plan with ${gibibytes(budget)} (engine.memoryGiB; default 70 % of the machine's memory): ${[...advice, "raise engine.memoryGiB if the machine has more"].join("; or ")}`,
    );
  const machine = engineModule.machineMemoryBytes();
  if (peak + generation > machine)
    throw new InputError(
      `training needs about ${gibibytes(peak)} and sampling ${gibibytes(generation)} beside it, but the machine has ${gibibytes(machine)}: ${["lower engine.memoryGiB, so that more layers are computed again", ...advice].join("; or ")}`,
    );
  return plan;
}

/** The shapes of the model, and the adapters that are trained: the configuration's, or those of an adapter directory. */
async function describeModel({
  model,
  lora,
  frozenWeights,
}: EmbeddedEngine): Promise<{ readonly config: ModelConfig; readonly lora: LoraConfig | undefined }> {
  const { isAdapterDirectory, loraConfig, parseModelConfig, readAdapterDescription } = await import(
    "@critique-grpo/engine"
  );
  try {
    const directory = typeof model === "string" ? model : undefined;
    const path = typeof model === "string" ? join(modelFilesDirectory(model), "config.json") : model.config;
    const config = parseModelConfig(JSON.parse(readFileSync(path, "utf8")), path);
    if (directory !== undefined && (await isAdapterDirectory(directory)))
      return { config, lora: (await readAdapterDescription(directory)).lora };
    if (frozenWeights === "stored" && !lora)
      throw new Error(
        "engine.frozenWeights is stored, but all weights are trained and must be float32: set engine.lora, or leave frozenWeights out",
      );
    return { config, lora: lora ? loraConfig(lora) : undefined };
  } catch (error) {
    // A file that cannot be read or is not supported is the user's to mend.
    throw new InputError((error as Error).message, { cause: error });
  }
}

/** Whether the weights are stored in 16 bits, by what config.json says. */
function has16Bits({ original }: ModelConfig): boolean {
  const type = original.dtype ?? original.torch_dtype;
  return type === "bfloat16" || type === "float16";
}

function adviceFor(
  { recompute }: EmbeddedEngine,
  model: { readonly lora: LoraConfig | undefined; keepHalves: boolean; has16Bits: boolean; longest: number },
): string[] {
  return [
    ...(model.lora ? [] : ["set engine.lora (adapters need no gradients and optimizer state of the weights)"]),
    ...(model.lora && model.has16Bits && !model.keepHalves
      ? ["set engine.frozenWeights to stored (half the memory of the weights)"]
      : []),
    ...(recompute === "never" ? ["set engine.recompute to auto"] : []),
    `make sequences shorter (sampling.maxTokens; the longest has ${model.longest} tokens)`,
    "set engine.threads to 1 (one micro-batch at a time)",
  ];
}

/** The plan in a line. */
export function describeMemory({ peak, weights, budget, generation }: MemoryPlan): string {
  const training = `training about ${gibibytes(peak)} of ${gibibytes(budget)}, ${gibibytes(weights)} of it weights`;
  return generation > 0 ? `${training}; sampling ${gibibytes(generation)} beside it` : training;
}

const gibibytes = (bytes: number) => `${(bytes / 2 ** 30).toFixed(bytes < 10 * 2 ** 30 ? 1 : 0)} GiB`;
