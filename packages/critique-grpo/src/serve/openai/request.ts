/** Bodies of the OpenAI-compatible routes. Unknown keys are ignored, as clients send many; what would change the text and is not supported is refused. */
import { z } from "zod";
import { BadRequest } from "../../http/errors.js";

const text = z.union([
  z.string(),
  z
    .array(z.object({ type: z.literal("text"), text: z.string() }))
    .transform((parts) => parts.map((part) => part.text).join("")),
]);

const shared = {
  model: z.string(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  top_k: z.number().int().min(-1).nullish(),
  n: z.number().int().min(1).max(64).nullish(),
  seed: z.number().int().nullish(),
  stop: z.union([z.string(), z.array(z.string()).max(16)]).nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
  presence_penalty: z.literal(0).nullish(),
  frequency_penalty: z.literal(0).nullish(),
};

const limit = z.number().int().min(1).nullish();

export const chatSchema = z.object({
  ...shared,
  messages: z.array(z.object({ role: z.enum(["system", "developer", "user", "assistant"]), content: text })).min(1),
  max_tokens: limit,
  max_completion_tokens: limit,
  logprobs: z.boolean().nullish(),
  top_logprobs: z.literal(0).nullish(),
  tools: z.array(z.never()).max(0, "tools are not supported").nullish(),
});

export const completionSchema = z.object({
  ...shared,
  prompt: z.union([z.string(), z.array(z.string()).min(1).max(64), z.array(z.number().int()).min(1)]),
  max_tokens: limit,
  logprobs: z.literal([0, 1]).nullish(),
  echo: z.literal(false).nullish(),
  best_of: z.literal(1).nullish(),
  suffix: z.literal("").nullish(),
});

export type ChatBody = z.infer<typeof chatSchema>;
export type CompletionBody = z.infer<typeof completionSchema>;

/** Throws BadRequest that names the key. */
export function parseBody<T>(schema: z.ZodType<T>, body: unknown): T {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const issues = result.error.issues.map((issue) => `${issue.path.join(".") || "body"}: ${issue.message}`);
  throw new BadRequest(issues.join("; "));
}
