/** OpenAI-compatible routes below /v1 (and, as at the hosted service, /oai/api/v1). */
import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { formatCheckpointPath } from "@critique-grpo/tinker";
import { HttpError } from "../../http/errors.js";
import { decodePathPart, parseJsonObject, sendJson } from "../../http/messages.js";
import type { TextCodec } from "../../policy/policy.js";
import type { GeneratedText } from "../models/generate-text.js";
import { chatGeneration, completionGeneration, type Generation, type OpenAiContext } from "./generate.js";
import { chatSchema, completionSchema, parseBody } from "./request.js";

const PREFIX = /^\/(?:oai\/api\/)?v1\//;

export function isOpenAiPath(path: string): boolean {
  return PREFIX.test(path);
}

/** An error as OpenAI clients read it. */
export function openAiError(status: number, message: string): object {
  const type = status === 401 ? "authentication_error" : status < 500 ? "invalid_request_error" : "server_error";
  return { error: { message, type, param: null, code: status === 401 ? "invalid_api_key" : null } };
}

/** Answers a request whose key has been checked. Throws HttpError. */
export async function answerOpenAi(
  context: OpenAiContext,
  request: IncomingMessage,
  response: ServerResponse,
  pathname: string,
  body: Buffer,
): Promise<void> {
  const path = pathname.replace(PREFIX, "");
  const method = request.method ?? "GET";
  if (method === "GET" && path === "models") return sendJson(response, 200, { object: "list", data: models(context) });
  if (method === "GET" && path.startsWith("models/")) {
    const id = decodePathPart(path.slice("models/".length));
    const found = models(context).find((model) => model.id === id);
    if (found === undefined) throw new HttpError(404, `There is no model ${id}`);
    return sendJson(response, 200, found);
  }
  if (method === "POST" && path === "chat/completions") {
    const parsed = parseBody(chatSchema, parseJsonObject(body));
    return respond(context, response, chatGeneration(context, parsed), chatFormat(parsed.logprobs === true), parsed);
  }
  if (method === "POST" && path === "completions") {
    const parsed = parseBody(completionSchema, parseJsonObject(body));
    const format = completionFormat(typeof parsed.logprobs === "number");
    return respond(context, response, completionGeneration(context, parsed), format, parsed);
  }
  throw new HttpError(404, `${method} ${pathname} is not served here`);
}

function models({ service }: OpenAiContext) {
  const describe = (id: string, at: string | undefined) => ({
    id,
    object: "model",
    created: at === undefined ? 0 : Math.floor(Date.parse(at) / 1000),
    owned_by: "local",
  });
  const saved = service.store.list().filter((record) => record.baseModel === service.options.modelName);
  return [
    describe(service.options.modelName, undefined),
    ...saved.map((record) => describe(formatCheckpointPath(record), record.savedAt)),
  ];
}

/** How a route words its answer and the pieces of a stream. */
interface Format {
  readonly idPrefix: string;
  readonly object: string;
  readonly chunkObject: string;
  readonly choice: (index: number, generated: GeneratedText, codec: TextCodec) => object;
  /** The piece before any text; undefined for none. */
  readonly opening: ((index: number) => object) | undefined;
  readonly delta: (index: number, text: string) => object;
  readonly ending: (index: number, reason: GeneratedText["stopReason"]) => object;
}

interface Wanted {
  readonly model: string;
  readonly stream?: boolean | null | undefined;
  readonly stream_options?: { readonly include_usage?: boolean | null | undefined } | null | undefined;
}

async function respond(
  context: OpenAiContext,
  response: ServerResponse,
  generation: Generation,
  format: Format,
  wanted: Wanted,
): Promise<void> {
  const gone = new AbortController();
  response.on("close", () => gone.abort());
  const signal = AbortSignal.any([gone.signal, context.closing]);
  const head = {
    id: `${format.idPrefix}-${randomUUID()}`,
    created: Math.floor(Date.now() / 1000),
    model: wanted.model,
  };
  if (wanted.stream !== true) {
    const texts = await generation.run(signal);
    const choices = texts.map((text, index) => format.choice(index, text, generation.codec));
    return sendJson(response, 200, { ...head, object: format.object, choices, usage: usage(generation, texts) });
  }
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
  const send = (data: object) => void response.write(`data: ${JSON.stringify(data)}\n\n`);
  const withUsage = wanted.stream_options?.include_usage === true;
  const chunk = (choices: readonly object[]) =>
    send({ ...head, object: format.chunkObject, choices, ...(withUsage ? { usage: null } : {}) });
  try {
    const choices = generation.prompts.length * generation.count;
    if (format.opening !== undefined) for (let i = 0; i < choices; i++) chunk([format.opening(i)]);
    const texts = await generation.run(signal, (index, text) => chunk([format.delta(index, text)]));
    for (const [index, text] of texts.entries()) chunk([format.ending(index, text.stopReason)]);
    if (withUsage) send({ ...head, object: format.chunkObject, choices: [], usage: usage(generation, texts) });
  } catch (error) {
    if (response.destroyed) return;
    // The status is long sent: clients read an error in the stream.
    send(openAiError(500, error instanceof Error ? error.message : String(error)));
  }
  response.end("data: [DONE]\n\n");
}

function usage({ prompts }: Generation, texts: readonly GeneratedText[]) {
  const prompt_tokens = prompts.reduce((sum, prompt) => sum + prompt.length, 0);
  const completion_tokens = texts.reduce((sum, text) => sum + text.tokens.length, 0);
  return { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
}

function chatFormat(logprobs: boolean): Format {
  return {
    idPrefix: "chatcmpl",
    object: "chat.completion",
    chunkObject: "chat.completion.chunk",
    choice: (index, generated, codec) => ({
      index,
      message: { role: "assistant", content: generated.text, refusal: null },
      logprobs: logprobs
        ? {
            content: generated.tokens.map((token, i) => {
              const text = codec.decode([token], { keepSpecialTokens: true });
              return { token: text, logprob: generated.logprobs[i]!, bytes: [...Buffer.from(text)], top_logprobs: [] };
            }),
            refusal: null,
          }
        : null,
      finish_reason: generated.stopReason,
    }),
    opening: (index) => ({ index, delta: { role: "assistant", content: "" }, logprobs: null, finish_reason: null }),
    delta: (index, content) => ({ index, delta: { content }, logprobs: null, finish_reason: null }),
    ending: (index, reason) => ({ index, delta: {}, logprobs: null, finish_reason: reason }),
  };
}

function completionFormat(logprobs: boolean): Format {
  return {
    idPrefix: "cmpl",
    object: "text_completion",
    chunkObject: "text_completion",
    choice: (index, generated, codec) => ({
      index,
      text: generated.text,
      logprobs: logprobs ? listLogprobs(generated, codec) : null,
      finish_reason: generated.stopReason,
    }),
    opening: undefined,
    delta: (index, text) => ({ index, text, logprobs: null, finish_reason: null }),
    ending: (index, reason) => ({ index, text: "", logprobs: null, finish_reason: reason }),
  };
}

function listLogprobs({ tokens, logprobs }: GeneratedText, codec: TextCodec) {
  const texts = tokens.map((token) => codec.decode([token], { keepSpecialTokens: true }));
  let offset = 0;
  const offsets = texts.map((text) => {
    const at = offset;
    offset += text.length;
    return at;
  });
  return { tokens: texts, token_logprobs: logprobs, top_logprobs: null, text_offset: offsets };
}
