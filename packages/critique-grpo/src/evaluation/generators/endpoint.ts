/** Responses from any OpenAI-compatible endpoint. */
import type OpenAI from "openai";
import { InputError } from "../../config/errors.js";
import type { Question } from "../../data/question.js";
import { boundedFetch, redact, retryAfterMs, rootCause } from "../../endpoint/http.js";
import { Pace } from "../../endpoint/pace.js";
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
  /** More fields for the body of each request; null takes one out (`max_tokens`, `temperature`, …). */
  readonly request?: Readonly<Record<string, unknown>>;
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
  const pace = new Pace(LONGEST_PAUSE_MS, options.pauseMs);
  let client: Promise<OpenAI> | undefined;
  return {
    async *generate(requests, { signal } = {}) {
      client ??= connect(options);
      const endpoint: Endpoint = { ...options, client: await client, pace };
      const tasks = requests.flatMap((request, requestIndex) =>
        request.samples.map((sample) => ({ request, requestIndex, sample })),
      );
      const stopped = new AbortController();
      const ended = signal === undefined ? stopped.signal : AbortSignal.any([signal, stopped.signal]);
      const results = inFlight(tasks, options.concurrency ?? 8, async ({ request, requestIndex, sample }) => ({
        ...(await ask(endpoint, request, sample, ended)),
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

interface Endpoint extends EndpointOptions {
  readonly client: OpenAI;
  /** What the server asks one request to wait, all of them wait. */
  readonly pace: Pace;
}

const DEFAULT_KEY_VARIABLE = "OPENAI_API_KEY";

function keyOf({ keyVariable = DEFAULT_KEY_VARIABLE }: EndpointOptions): string | null {
  return process.env[keyVariable]?.trim() || null;
}

async function connect(options: EndpointOptions): Promise<OpenAI> {
  const { OpenAI: Client } = await import("openai");
  const key = keyOf(options);
  return new Client({
    baseURL: options.baseUrl,
    // The client insists on a key; local servers need none.
    apiKey: key ?? "none",
    ...(key === null ? { defaultHeaders: { Authorization: null } } : {}),
    // Otherwise taken from the environment, and sent to whatever server this is.
    ...{ organization: null, project: null, adminAPIKey: null },
    ...{ maxRetries: 0, logLevel: "off", fetch: boundedFetch },
  });
}

type Answer = Pick<GeneratedResponse, "text" | "length" | "stopReason" | "failure">;

async function ask(
  endpoint: Endpoint,
  request: GenerationRequest,
  sample: number,
  signal: AbortSignal,
): Promise<Answer> {
  const { retries = 5, timeoutMs = 600_000, baseUrl, model, pace } = endpoint;
  for (let attempt = 1; ; attempt++) {
    await pace.ready(signal);
    signal.throwIfAborted();
    const timeout = AbortSignal.timeout(timeoutMs);
    try {
      return await send(endpoint, request, sample, AbortSignal.any([signal, timeout]));
    } catch (error) {
      signal.throwIfAborted();
      const { status, headers } = error as { status?: unknown; headers?: unknown };
      const message = timeout.aborted ? `no answer within ${timeoutMs / 1000} s` : describe(error, keyOf(endpoint));
      if (status === 400 || status === 413 || status === 422) {
        return { text: "", length: 0, stopReason: "stop", failure: message };
      }
      const where = `${baseUrl}, model ${model}`;
      if (status === 401 || status === 403 || status === 404) {
        const remedy =
          status === 404 ? "check address and model" : `set ${endpoint.keyVariable ?? DEFAULT_KEY_VARIABLE}`;
        throw new InputError(`${where}: ${message}; ${remedy}`);
      }
      const hopeless = typeof status === "number" && status < 500 && ![408, 409, 425, 429].includes(status);
      const waitMs = headers instanceof Headers ? retryAfterMs(headers, Date.now()) : undefined;
      if (hopeless || attempt > retries || !(await pace.backOff(attempt, waitMs, signal))) {
        throw new Error(
          `${where}: ${message} (${attempt} tries); the responses drawn so far are kept, the same command goes on`,
        );
      }
    }
  }
}

/** One line without the key; `fetch` hides the reason of a broken connection in its cause. */
function describe(error: unknown, key: string | null): string {
  const root = rootCause(error);
  const [message, inner] = [error, root].map((each) => (each instanceof Error ? each.message : String(each)));
  return redact(root === error ? message! : `${message} (${inner})`, key).replace(/\s+/g, " ");
}

async function send(
  { client, model, request }: Endpoint,
  { question, temperature, topP, topK, maxTokens, seed }: GenerationRequest,
  sample: number,
  signal: AbortSignal,
): Promise<Answer> {
  const fields = {
    ...{ model, temperature, top_p: topP, max_tokens: maxTokens, seed: (seed + sample) % SEED_RANGE },
    // Not of OpenAI's own API; vLLM, SGLang and others know it.
    ...(topK > 0 ? { top_k: topK } : {}),
    ...request,
  };
  const sampling = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null)) as {
    readonly model: string;
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
