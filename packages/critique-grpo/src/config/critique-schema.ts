/** The part of the schema that says who writes critiques. docs/critics.md explains each. */
import { z } from "zod";
import { path } from "./path-kinds.js";

/** What all critics that are language models have in common; defaults are the reference's settings. */
const languageModel = {
  responses: z
    .enum(["wrong", "all"])
    .default("wrong")
    .describe("Which responses the model criticises; with `wrong` a right one gets the simple_gt sentence"),
  template: z
    .string()
    .optional()
    .describe(
      "Prompt of the critic; {question} and {response} are needed, {gold} and {solution} (without one: the gold answer) may be used. Default: the paper's setting",
    ),
  sampling: z
    .strictObject({
      temperature: z.number().min(0).default(0.7).describe("Logits are divided by it; 0 = greedy"),
      topP: z
        .number()
        .gt(0)
        .max(1)
        .default(0.75)
        .describe("Keep the smallest set of tokens with this probability; 1 = all"),
      maxTokens: z.int().min(1).default(4096).describe("Longest critique in tokens; less where the context ends"),
    })
    .prefault({})
    .describe("How critiques are drawn"),
};

export const critiqueSchema = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("none") }).describe("nobody"),
  z.strictObject({ type: z.literal("simple") }).describe("right or wrong"),
  z.strictObject({ type: z.literal("simple_gt") }).describe("right or wrong, and the gold answer"),
  z
    .strictObject({
      type: z.literal("program"),
      module: path("module", "TypeScript module whose default export writes the critique"),
    })
    .describe("your own function"),
  z.strictObject({ type: z.literal("self"), ...languageModel }).describe("the policy itself"),
  z
    .strictObject({
      type: z.literal("checkpoint"),
      model: path("directory", "HF model directory with its tokenizer: the model that writes the critiques"),
      threads: z.int().min(1).optional().describe("Threads of its engine; default: all cores"),
      contextLength: z.int().min(2).optional().describe("Longest prompt + critique; default: what the model allows"),
      ...languageModel,
    })
    .describe("another model on the embedded engine"),
]);
