/** The part of the schema that says who writes critiques. docs/critics.md explains each. */
import { z } from "zod";
import { path } from "./path-kinds.js";

/** Fields of a request that the critic fills in itself. */
const OWN_FIELDS = ["messages", "model", "stream", "n"];

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
  z
    .strictObject({
      type: z.literal("teacher"),
      baseUrl: z
        .string()
        .regex(/^https?:\/\/[^/@?#\s]+(\/[^@?#\s]*)?$/, {
          error:
            "must be an http(s) address without user, password, query or fragment; the API key is read from the environment variable that critique.apiKeyVariable names",
        })
        .default("https://api.openai.com/v1")
        .describe(
          "OpenAI-compatible endpoint, up to what precedes /chat/completions; with `azure` the resource's …/openai",
        ),
      model: z
        .string()
        .min(1)
        .describe("Model, by the name under which the server knows it; with `azure` the deployment"),
      azure: z
        .strictObject({ apiVersion: z.string().min(1).describe("api-version of the requests, e.g. 2024-10-21") })
        .optional()
        .describe("The endpoint is Azure OpenAI"),
      apiKeyVariable: z
        .string()
        .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, {
          error: "must be the name of an environment variable, never the key itself",
        })
        .nullable()
        .default("OPENAI_API_KEY")
        .describe("Environment variable with the API key; null = none is sent"),
      request: z
        .record(z.string(), z.unknown())
        .refine((fields) => !OWN_FIELDS.some((name) => name in fields), {
          error: `must not set ${OWN_FIELDS.join(", ")}: the critic does`,
        })
        .default({})
        .describe("More fields for the body of each request; null takes one out (max_tokens, temperature, top_p)"),
      concurrency: z.int().min(1).default(8).describe("Calls in flight"),
      ahead: z
        .int()
        .min(0)
        .default(0)
        .describe(
          "With refinement.stopWhenFound: rounds whose critiques are asked for while an earlier one is sampled. Saves time, pays for critiques that may not be needed",
        ),
      attempts: z.int().min(1).default(3).describe("Calls for one critique before the fallback"),
      timeoutSeconds: z.number().gt(0).default(120).describe("Longest wait for a whole answer"),
      longestWaitSeconds: z
        .number()
        .min(0)
        .default(60)
        .describe("Longest pause before another attempt; a server that asks for more (Retry-After) gets none"),
      budget: z
        .strictObject({
          calls: z.int().min(0).optional().describe("Calls in the whole run, failed ones included; default: no limit"),
          tokens: z
            .int()
            .min(0)
            .optional()
            .describe(
              "Tokens of prompts and answers in the whole run; calls under way may exceed it. Default: no limit",
            ),
        })
        .prefault({})
        .describe("When it is spent, simple_gt stands in"),
      price: z
        .strictObject({
          input: z.number().min(0).describe("Of a million prompt tokens"),
          output: z.number().min(0).describe("Of a million tokens of answers"),
        })
        .optional()
        .describe("For critique/cost, in any currency"),
      cacheDirectory: path("output", "Directory")
        .optional()
        .describe(
          "Where answers are kept, by what was asked; runs may share it. Default: critic/cache in the run directory",
        ),
      checkAtStart: z
        .boolean()
        .default(true)
        .describe("Ask one short question before the first step: a wrong key, model or address ends the run there"),
      ...languageModel,
    })
    .describe("a chat model on a server"),
]);
