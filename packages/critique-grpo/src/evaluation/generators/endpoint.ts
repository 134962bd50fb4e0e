/** Responses from any OpenAI-compatible endpoint. */
import type OpenAI from "openai";
import { InputError } from "../../config/errors.js";
import type { Question } from "../../data/question.js";
import type { GeneratedResponse, GenerationRequest, ResponseGenerator } from "./generator.js";

export interface EndpointOptions {
  /** Up to /v1. */
  readonly baseUrl: string;
  readonly model: string;
  /** Environment variable that holds the key; local servers need none. Default OPENAI_API_KEY. */
  readonly keyVariable?: string;
  /** Requests in flight. Default 8. */
  readonly concurrency?: number;
  /** Of one request, whole answer included. Default 600,000. */
  readonly timeoutMs?: number;
  /** Tries after the first where it may help: 408, 409, 429, 5xx, broken connections, timeouts. Default 5. */
  readonly retries?: number;
  /** First pause between tries; it doubles, and the server's Retry-After wins. Default 1000. */
  readonly pauseMs?: number;
}

const LONGEST_PAUSE_MS = 60_000;
/** Seeds of different samples of a question. */
const SEED_RANGE = 2 ** 31;

/**
 * One request a sample, so that an answer that was paid for is never asked for again. Chat prompts go to
 * chat/completions, plain ones to completions. A request that the server refuses for what it holds (400, 413, 422) fails
 * alone; one that it refuses for who asks or for which model (401, 403, 404), and one that fails after all tries, ends
 * the evaluation.
 */
export function endpointGenerator(options: EndpointOptions): ResponseGenerator {
  let client: Promise<OpenAI> | undefined;
  return {
    async *generate(requests, { signal } = {}) {
      client ??= connect(options);
      const openai = await client;
      const tasks = requests.flatMap((request, requestIndex) =>
        request.samples.map((sample) => ({ request, requestIndex, sample })),
      );
      const stopped = new AbortController();
      const ended = signal === undefined ? stopped.signal : AbortSignal.any([signal, stopped.signal]);
      const results = inFlight(tasks, options.concurrency ?? 8, async ({ request, requestIndex, sample }) => ({
        ...(await ask(openai, options, request, sample, ended)),
        ...{ requestIndex, sample, tokens: [] },
      }));
      try {
        yield* results;
      } finally {
        // Of requests that nobody waits for any more.
        stopped.abort();
      }
    },
  };
}

async function connect({ baseUrl, keyVariable = "OPENAI_API_KEY" }: EndpointOptions): Promise<OpenAI> {
  const { OpenAI: Client } = await import("openai");
  return new Client({
    baseURL: baseUrl,
    // The client insists on a key; local servers ignore it.
    apiKey: process.env[keyVariable] || "none",
    organization: null,
    project: null,
    maxRetries: 0,
    logLevel: "off",
  });
}

type Answer = Pick<GeneratedResponse, "text" | "length" | "stopReason" | "failure">;

async function ask(
  client: OpenAI,
  options: EndpointOptions,
  request: GenerationRequest,
  sample: number,
  signal: AbortSignal,
): Promise<Answer> {
  const { retries = 5, pauseMs = 1000, timeoutMs = 600_000 } = options;
  for (let attempt = 0; ; attempt++) {
    signal.throwIfAborted();
    const timeout = AbortSignal.timeout(timeoutMs);
    try {
      return await send(client, options.model, request, sample, AbortSignal.any([signal, timeout]));
    } catch (error) {
      signal.throwIfAborted();
      const failure = timeout.aborted ? new Error(`no answer within ${timeoutMs / 1000} s`) : (error as Error);
      const status = statusOf(failure);
      if (status === 400 || status === 413 || status === 422) {
        return { text: "", length: 0, stopReason: "stop", failure: failure.message };
      }
      const where = `${options.baseUrl}, model ${options.model}`;
      if (status === 401 || status === 403 || status === 404) {
        const remedy = status === 404 ? "check address and model" : `set ${options.keyVariable ?? "OPENAI_API_KEY"}`;
        throw new InputError(`${where}: ${failure.message}; ${remedy}`);
      }
      if (attempt === retries || (status !== undefined && status < 500 && ![408, 409, 429].includes(status))) {
        throw new Error(
          `${where}: ${failure.message} (${attempt + 1} tries); the responses drawn so far are kept, the same command goes on`,
        );
      }
      await pause(Math.min(LONGEST_PAUSE_MS, retryAfterMs(failure) ?? pauseMs * 2 ** attempt), signal);
    }
  }
}

async function send(
  client: OpenAI,
  model: string,
  { question, temperature, topP, topK, maxTokens, seed }: GenerationRequest,
  sample: number,
  signal: AbortSignal,
): Promise<Answer> {
  const sampling = {
    ...{ model, temperature, top_p: topP, max_tokens: maxTokens, seed: (seed + sample) % SEED_RANGE },
    // Not of OpenAI's own API; vLLM, SGLang and others know it.
    ...(topK > 0 ? { top_k: topK } : {}),
  };
  if (typeof question.prompt === "string") {
    const completion = await client.completions.create({ ...sampling, prompt: question.prompt }, { signal });
    const choice = choiceOf(completion);
    return answerOf(choice.text, choice.finish_reason, completion.usage?.completion_tokens);
  }
  const completion = await client.chat.completions.create({ ...sampling, messages: messagesOf(question) }, { signal });
  const choice = choiceOf(completion);
  return answerOf(choice.message?.content, choice.finish_reason, completion.usage?.completion_tokens);
}

function messagesOf({ prompt }: Question) {
  return typeof prompt === "string"
    ? [{ role: "user" as const, content: prompt }]
    : prompt.map((message) => ({ ...message }));
}

/** The client hands on whatever came with a good status: a page of HTML is text here. */
function choiceOf<C>(completion: { readonly choices?: readonly C[] }): C {
  const choice = completion?.choices?.[0];
  if (choice === undefined) throw new Error("the answer holds no choices: is this an OpenAI-compatible address?");
  return choice;
}

/** A refusal has no content: an answer of no text. */
function answerOf(text: string | null | undefined, reason: string | null, tokens: number | undefined): Answer {
  return { text: text ?? "", length: tokens ?? Number.NaN, stopReason: reason === "length" ? "length" : "stop" };
}

function statusOf(error: unknown): number | undefined {
  const { status } = error as { status?: unknown };
  return typeof status === "number" ? status : undefined;
}

function retryAfterMs(error: unknown): number | undefined {
  const { headers } = error as { headers?: unknown };
  const value = headers instanceof Headers ? headers.get("retry-after") : null;
  const seconds = value === null ? Number.NaN : Number(value);
  return Number.isNaN(seconds) ? undefined : seconds * 1000;
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const finish = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", finish);
      if (signal.aborted) reject(signal.reason as Error);
      else resolve();
    };
    const timer = setTimeout(finish, milliseconds);
    signal.addEventListener("abort", finish);
  });
}

/** Results as they come, with at most `limit` calls in flight. After a failure none is started, those in flight count. */
async function* inFlight<T, R>(
  items: readonly T[],
  limit: number,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R, void, undefined> {
  const running = new Set<Promise<void>>();
  const finished: R[] = [];
  const failures: unknown[] = [];
  let next = 0;
  while (finished.length > 0 || running.size > 0 || (next < items.length && failures.length === 0)) {
    while (next < items.length && running.size < limit && failures.length === 0) {
      const call: Promise<void> = work(items[next++]!)
        .then(
          (result) => void finished.push(result),
          (error: unknown) => void failures.push(error),
        )
        .finally(() => running.delete(call));
      running.add(call);
    }
    if (finished.length > 0) yield finished.shift()!;
    else await Promise.race(running);
  }
  if (failures.length > 0) throw failures[0];
}
