/** The part of the schema that says what samples and trains. docs/engine.md and docs/distributed.md explain both kinds. */
import type { LoraTarget } from "@critique-grpo/engine";
import { z } from "zod";
import { path } from "./path-kinds.js";

/** Stated here as well: a configuration is read without loading the engine. */
const loraTargets = [
  "q_proj",
  "k_proj",
  "v_proj",
  "o_proj",
  "gate_proj",
  "up_proj",
  "down_proj",
] as const satisfies readonly LoraTarget[];

export const engineSchema = z.discriminatedUnion("type", [
  z.strictObject({
    type: z.literal("embedded"),
    model: z
      .union([
        path("directory", "HF model directory, or a PEFT adapter directory to go on from"),
        z.strictObject({
          config: path("file", "config.json of a fresh model"),
          seed: z.int().min(0).default(0).describe("Seed of the random weights"),
        }),
      ])
      .describe("Where the weights come from: an HF directory, or a config.json to start from random weights"),
    lora: z
      .strictObject({
        rank: z.int().min(1).default(16).describe("Rank of the adapters"),
        alpha: z.number().gt(0).default(32).describe("The adapters' product is scaled by alpha / rank"),
        targets: z
          .union([z.literal("all-linear"), z.array(z.enum(loraTargets)).min(1)])
          .default("all-linear")
          .describe("Matrices that get an adapter: all of every layer, or the named ones"),
        seed: z.int().min(0).default(0).describe("Seed of the fresh adapters"),
      })
      .nullish()
      .describe("Train low-rank adapters beside frozen weights; null or absent: full fine-tuning"),
    frozenWeights: z
      .enum(["float32", "stored"])
      .optional()
      .describe(
        "How weights beside adapters are kept: widened to float32 (default), or as they are stored: 16-bit matrices of the checkpoint take half of the memory and are widened when their layer runs. The results are the same",
      ),
    device: z
      .enum(["auto", "cpu", "webgpu", "cuda"])
      .optional()
      .describe(
        "What computes: cpu, webgpu (a GPU through Vulkan, Direct3D 12 or Metal) or cuda; auto, the default, is the CPU. `critique-grpo doctor` tells what there is",
      ),
    rolloutPrecision: z
      .enum(["float32", "int8"])
      .optional()
      .describe(
        "Arithmetic that rollouts are drawn with: float32 (default), or int8: faster on the CPU, from a slightly different policy than the trained one, which algorithm.samplerCorrection makes up for. Evaluation, sample, eval and serve are float32 in any case",
      ),
    recompute: z
      .enum(["auto", "always", "never"])
      .optional()
      .describe(
        "Whether the backward pass computes layers again instead of keeping their activations: auto (default), those that do not fit into memoryGiB, all (least memory, about a third slower), or none. The gradients are the same",
      ),
    memoryGiB: z
      .number()
      .gt(0)
      .optional()
      .describe(
        "Memory that training may plan with; default: 70 % of the machine's. Generation's keys and values come on top",
      ),
    threads: z.int().min(1).optional().describe("Threads of the engine; default: all cores"),
    contextLength: z.int().min(2).optional().describe("Longest prompt + response; default: what the model allows"),
    microBatchTokens: z
      .int()
      .min(1)
      .optional()
      .describe(
        "Tokens in one forward/backward pass; bounds memory, never changes the result beyond rounding. Default: what is fastest, about 1,000",
      ),
  }),
  z.strictObject({
    type: z.literal("tinker"),
    baseUrl: z
      .string()
      .regex(/^https?:\/\/[^/@?#\s]+(\/[^@?#\s]*)?$/, {
        error:
          "must be an http(s) address without user, password, query or fragment; the API key is read from the environment variable TINKER_API_KEY",
      })
      .describe(
        "Address of the Tinker server, without /api/v1. The API key comes from TINKER_API_KEY, never from a file",
      ),
    baseModel: z.string().min(1).describe("Model to start from, by the name under which the server lists it"),
    loraRank: z
      .int()
      .min(0)
      .default(32)
      .describe("Rank of the LoRA adapters; 0 = full fine-tuning, which SkyRL-train and `critique-grpo serve` have"),
    seed: z.int().min(0).optional().describe("Seed of the fresh adapters; default: the server draws one"),
    dialect: z
      .enum(["auto", "hosted", "skyrl-jax", "skyrl-train"])
      .default("auto")
      .describe("Arithmetic of the server; auto asks it. The gradient is the same on each"),
    contextLength: z
      .int()
      .min(2)
      .optional()
      .describe("Longest prompt + response; default: what the server tells of the model"),
    entropy: z
      .enum(["error", "estimate"])
      .default("error")
      .describe(
        "The protocol gives no gradient of the entropy. What to do with algorithm.entropyCoefficient above 0: refuse it, or estimate the gradient from the sampled tokens (docs/distributed.md)",
      ),
    serverOptimizer: z
      .strictObject({
        beta1: z.number().min(0).lt(1).default(0.9).describe("Decay of the first moment"),
        beta2: z.number().min(0).lt(1).default(0.999).describe("Decay of the second moment"),
        epsilon: z.number().gt(0).default(1e-8).describe("Added to the root of the second moment"),
        weightDecay: z.number().min(0).default(0.01).describe("Decoupled weight decay"),
        maxGradNorm: z.number().min(0).default(1).describe("Global-norm clipping; 0 = off"),
      })
      .prefault({})
      .describe(
        "AdamW settings in the configuration of a SkyRL-train server, which takes only the learning rate from a request; `optimizer` must ask for the same",
      ),
    stateTtlSeconds: z
      .int()
      .min(60)
      .optional()
      .describe(
        "Saved states expire after this on servers that honour it; default: never. Longer than a run, or it cannot be resumed",
      ),
  }),
]);
