/** The schema of supervised fine-tuning: `critique-grpo sft`. */
import { z } from "zod";
import { engineSchema } from "./engine-schema.js";
import { path } from "./path-kinds.js";
import { checkpointSchema, dataSchema, loggingSchema, optimizerSchema, tokenizerSchema } from "./schema.js";

export const sftDataSchema = z.strictObject({
  files: dataSchema.shape.files,
  columns: z
    .strictObject({
      prompt: z.string().min(1).default("prompt").describe("Messages ({role, content} list) or text"),
      response: z.string().min(1).default("response").describe("Text of the answer"),
      messages: z
        .string()
        .min(1)
        .default("messages")
        .describe("Used where a row has no prompt: a conversation that ends in the assistant's answer"),
    })
    .prefault({})
    .describe("Where things stand in a row"),
  format: dataSchema.shape.format,
  limit: dataSchema.shape.limit,
});

export const sftSchema = z.strictObject({
  seed: z.int().min(0).default(0).describe("Data order"),
  runDirectory: path("output", "Directory")
    .optional()
    .describe("Where the run is written; default: runs/<name of the YAML>-<time> in the current directory"),
  engine: engineSchema.describe("What is trained"),
  tokenizer: tokenizerSchema.prefault({}).describe("Text to tokens and back"),
  data: sftDataSchema.describe("Prompts with the responses to learn"),
  steps: z.int().min(1).describe("Optimizer steps"),
  batchSize: z.int().min(1).default(32).describe("Pairs an optimizer step"),
  optimizer: optimizerSchema.prefault({}).describe("AdamW"),
  checkpoint: checkpointSchema.prefault({}).describe("What survives a crash"),
  logging: loggingSchema.prefault({}).describe("Where metrics go beside metrics.jsonl"),
});

export type SftConfig = z.output<typeof sftSchema>;
export type SftConfigInput = z.input<typeof sftSchema>;
