/** From an OpenAI request to continuations. */
import { randomInt } from "node:crypto";
import { BadRequest } from "../../http/errors.js";
import type { TextCodec } from "../../policy/policy.js";
import { checkTokens } from "../models/datum-sequences.js";
import { type GeneratedText, generateText, pieceSeed } from "../models/generate-text.js";
import type { TinkerService } from "../tinker/service.js";
import type { ChatBody, CompletionBody } from "./request.js";

export interface OpenAiContext {
  readonly service: TinkerService;
  readonly codec: TextCodec | null;
  /** Aborted when the server stops. */
  readonly closing: AbortSignal;
}

export interface Generation {
  readonly prompts: readonly (readonly number[])[];
  /** Continuations of each prompt; choice i continues prompt floor(i / count). */
  readonly count: number;
  readonly codec: TextCodec;
  readonly run: (
    signal: AbortSignal,
    onText?: (choice: number, text: string) => void,
  ) => Promise<readonly GeneratedText[]>;
}

/** OpenAI's default of the completions route; a chat may fill the context. */
const COMPLETION_TOKENS = 16;

export function chatGeneration(context: OpenAiContext, body: ChatBody): Generation {
  const codec = requireCodec(context);
  const messages = body.messages.map(({ role, content }) => ({
    role: role === "developer" ? ("system" as const) : role,
    content,
  }));
  let prompt: number[];
  try {
    prompt = codec.encodeChat(messages);
  } catch (error) {
    throw new BadRequest(`messages: ${(error as Error).message}`);
  }
  return generation(context, codec, body, [prompt], body.max_completion_tokens ?? body.max_tokens ?? undefined);
}

export function completionGeneration(context: OpenAiContext, body: CompletionBody): Generation {
  const codec = requireCodec(context);
  const encode = (text: string) => {
    try {
      return codec.encode(text, { addSpecialTokens: true });
    } catch (error) {
      throw new BadRequest(`prompt: ${(error as Error).message}`);
    }
  };
  const { prompt } = body;
  const prompts =
    typeof prompt === "string"
      ? [encode(prompt)]
      : prompt.map((item) => (typeof item === "string" ? encode(item) : item));
  const lists = prompts.every((item) => typeof item === "number") ? [prompts] : (prompts as number[][]);
  return generation(context, codec, body, lists, body.max_tokens ?? COMPLETION_TOKENS);
}

function generation(
  { service }: OpenAiContext,
  codec: TextCodec,
  body: ChatBody | CompletionBody,
  prompts: readonly (readonly number[])[],
  limit: number | undefined,
): Generation {
  const { host, options } = service;
  const weights = body.model.startsWith("tinker://")
    ? service.weights(body.model)
    : body.model === options.modelName
      ? host.base
      : undefined;
  if (weights === undefined)
    throw new BadRequest(
      `model "${body.model}" is not served here; there are "${options.modelName}" and tinker:// paths`,
    );
  const maxTokens = prompts.map((prompt) => {
    if (prompt.length === 0) throw new BadRequest("the prompt is empty");
    const room = host.info.contextLength - prompt.length;
    checkTokens(prompt, "prompt", host.info, limit ?? 1);
    return limit ?? room;
  });
  const count = body.n ?? 1;
  const seed = body.seed ?? randomInt(2 ** 32);
  const stopStrings = [body.stop ?? []].flat().filter((stop) => stop !== "");
  const run: Generation["run"] = (signal, onText) =>
    Promise.all(
      prompts.flatMap((prompt, index) =>
        Array.from({ length: count }, (_, i) => {
          const choice = index * count + i;
          return generateText(
            host,
            weights,
            codec,
            {
              prompt,
              maxTokens: maxTokens[index]!,
              temperature: body.temperature ?? 1,
              topP: body.top_p ?? 1,
              topK: Math.max(0, body.top_k ?? 0),
              stopTokens: codec.stopTokens,
              stopStrings,
              seed: pieceSeed(seed, choice << 12),
            },
            { signal, ...(onText === undefined ? {} : { onText: (text: string) => onText(choice, text) }) },
          );
        }),
      ),
    );
  return { prompts, count, codec, run };
}

function requireCodec({ codec }: OpenAiContext): TextCodec {
  if (codec === null) throw new BadRequest("This server has no tokenizer; start it with --tokenizer DIRECTORY");
  return codec;
}
