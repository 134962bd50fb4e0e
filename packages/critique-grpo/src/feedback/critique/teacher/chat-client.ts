/** One question to an OpenAI-compatible chat endpoint, and everything that can come back instead of an answer. */
import type { OpenAI } from "openai";
import { z } from "zod";
import { InputError } from "../../../config/errors.js";
import type { RunConfig } from "../../../config/schema.js";
import { boundedFetch, redact, retryAfterMs, rootCause } from "../../../endpoint/http.js";
import type { Critique } from "../../../rollout/records.js";

export type TeacherConfig = Extract<RunConfig["critique"], { readonly type: "teacher" }>;

export type ChatOutcome =
  | { readonly kind: "answer"; readonly text: string; readonly stopReason: "stop" | "length"; readonly tokens: Tokens }
  /** The model declines; asking again would be paying again. */
  | { readonly kind: "refusal"; readonly reason: string; readonly tokens: Tokens }
  | {
      readonly kind: "error";
      readonly reason: string;
      /** The next attempt may go better. */
      readonly retry: boolean;
      /** There is no server at this address. */
      readonly unreachable: boolean;
      /** What the server asks to wait, in milliseconds. */
      readonly waitMs?: number | undefined;
      readonly tokens?: undefined;
    };

/** undefined where the server does not tell. */
type Tokens = Critique["tokens"] | undefined;

const MAX_REASON_CHARACTERS = 200;

/** Codes of Node for an address that leads nowhere. */
const UNREACHABLE = new Set(["ECONNREFUSED", "ENOTFOUND", "EHOSTUNREACH", "ENETUNREACH", "ERR_INVALID_URL"]);

const answerSchema = z.object({
  choices: z
    .array(
      z.object({
        finish_reason: z.string().nullish(),
        message: z.object({ content: z.string().nullish(), refusal: z.string().nullish() }),
      }),
    )
    .min(1),
  usage: z.object({ prompt_tokens: z.int().min(0), completion_tokens: z.int().min(0) }).nullish(),
});

export class ChatClient {
  readonly #config: TeacherConfig;
  readonly #client: OpenAI;
  readonly #key: string | null;

  private constructor(config: TeacherConfig, client: OpenAI, key: string | null) {
    this.#config = config;
    this.#client = client;
    this.#key = key;
  }

  /** Reads the key from the environment; sends nothing. @throws InputError if the key is missing. */
  static async open(config: TeacherConfig, environment: NodeJS.ProcessEnv = process.env): Promise<ChatClient> {
    const key = apiKey(config, environment);
    const { OpenAI, AzureOpenAI } = await import("openai");
    const options = {
      baseURL: config.baseUrl,
      // The client insists on a key.
      apiKey: key ?? "none",
      ...(key === null ? { defaultHeaders: { Authorization: null, "api-key": null } } : {}),
      // Otherwise taken from the environment, and sent to whatever server this is.
      ...{ organization: null, project: null, adminAPIKey: null },
      ...{ maxRetries: 0, timeout: 2 * config.timeoutSeconds * 1000, logLevel: "off" as const, fetch: boundedFetch },
    };
    const client =
      config.azure === undefined
        ? new OpenAI(options)
        : new AzureOpenAI({ ...options, apiVersion: config.azure.apiVersion });
    return new ChatClient(config, client, key);
  }

  /** The body of a request without its messages: what an answer depends on beside them. */
  static parameters({ model, sampling, request }: TeacherConfig): Record<string, unknown> {
    const { temperature, topP, maxTokens } = sampling;
    const body = { model, temperature, top_p: topP, max_tokens: maxTokens, ...request };
    return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null));
  }

  /** One attempt. Never throws but for AbortError when the signal is aborted; texts never hold the key. */
  async ask(prompt: string, signal?: AbortSignal): Promise<ChatOutcome> {
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), this.#config.timeoutSeconds * 1000);
    const leave = () => deadline.abort();
    signal?.addEventListener("abort", leave, { once: true });
    try {
      signal?.throwIfAborted();
      const body = { ...ChatClient.parameters(this.#config), messages: [{ role: "user", content: prompt }] };
      const answer: unknown = await this.#client.post("/chat/completions", { body, signal: deadline.signal });
      return this.#read(answer);
    } catch (error) {
      signal?.throwIfAborted();
      if (deadline.signal.aborted) {
        return {
          kind: "error",
          reason: `no answer within ${this.#config.timeoutSeconds} s`,
          retry: true,
          unreachable: false,
        };
      }
      return this.#describe(error);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", leave);
    }
  }

  #read(answer: unknown): ChatOutcome {
    const parsed = answerSchema.safeParse(answer);
    if (!parsed.success) {
      const shown =
        typeof answer === "string" ? `text that begins ${JSON.stringify(answer.slice(0, 60))}` : "other JSON";
      return {
        kind: "error",
        reason: this.#safe(`the answer is no chat completion, but ${shown}`),
        retry: true,
        unreachable: false,
      };
    }
    const { usage } = parsed.data;
    const { message, finish_reason: reason } = parsed.data.choices[0]!;
    const tokens = usage ? { prompt: usage.prompt_tokens, completion: usage.completion_tokens } : undefined;
    if (message.refusal)
      return { kind: "refusal", reason: this.#safe(`the teacher refused: ${message.refusal}`), tokens };
    if (reason === "content_filter")
      return { kind: "refusal", reason: "the answer was withheld by a content filter", tokens };
    const text = redact(message.content ?? "", this.#key);
    return { kind: "answer", text, stopReason: reason === "length" ? "length" : "stop", tokens };
  }

  #describe(error: unknown): ChatOutcome {
    const { status, headers } = error as { status?: unknown; headers?: unknown };
    const message = error instanceof Error ? error.message : String(error);
    if (typeof status !== "number") {
      const root = rootCause(error);
      const inner = root === error ? "" : ` (${root instanceof Error ? root.message : String(root)})`;
      const unreachable = UNREACHABLE.has(String((root as { code?: unknown } | null)?.code));
      return { kind: "error", reason: this.#safe(`no usable answer: ${message}${inner}`), retry: true, unreachable };
    }
    const retry = status === 408 || status === 409 || status === 425 || status === 429 || status >= 500;
    const waitMs = headers instanceof Headers ? retryAfterMs(headers, Date.now()) : undefined;
    return { kind: "error", reason: this.#safe(`the server answered ${message}`), retry, unreachable: false, waitMs };
  }

  /** One line, short, without the key. */
  #safe(reason: string): string {
    const line = redact(reason, this.#key).replace(/\s+/g, " ").trim();
    return line.length > MAX_REASON_CHARACTERS ? `${line.slice(0, MAX_REASON_CHARACTERS - 1)}…` : line;
  }
}

function apiKey({ apiKeyVariable }: TeacherConfig, environment: NodeJS.ProcessEnv): string | null {
  if (apiKeyVariable === null) return null;
  const key = environment[apiKeyVariable]?.trim() ?? "";
  if (key !== "") return key;
  throw new InputError(
    `critique.type teacher: the environment variable ${apiKeyVariable} holds no API key; set it, name another one in critique.apiKeyVariable, or set that to null for a server that needs none`,
  );
}
