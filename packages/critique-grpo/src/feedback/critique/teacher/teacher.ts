/** Critiques from a chat model behind an OpenAI-compatible or Azure endpoint. */

import { join } from "node:path";
import { InputError } from "../../../config/errors.js";
import { Pace } from "../../../endpoint/pace.js";
import { createLimiter } from "../../../rollout/concurrency.js";
import type { Critic, CriticRun } from "../critic.js";
import { type CritiquePrompt, type CritiqueWriter, createLanguageModelCritic, type Draft } from "../language-model.js";
import { AnswerCache, cacheKey } from "./cache.js";
import { ChatClient, type ChatOutcome, type TeacherConfig } from "./chat-client.js";
import { CallLedger } from "./ledger.js";

/** In the run directory: docs/run-directory.md. */
export const CRITIC_DIRECTORY = "critic";
const CALLS_FILE = "calls.jsonl";
const CACHE_DIRECTORY = "cache";
const CHECK_PROMPT = 'Reply with the word "ready".';

export interface TeacherOptions {
  readonly environment?: NodeJS.ProcessEnv;
  /** For tests: wait before the second attempt. Default 1000. */
  readonly firstDelayMs?: number;
}

export function createTeacherCritic(config: TeacherConfig, options: TeacherOptions = {}): Critic {
  const critic = createLanguageModelCritic("teacher", config, new TeacherWriter(config, options));
  return { ...critic, ahead: config.ahead };
}

/** What a run needs to ask. */
interface Connection {
  readonly client: ChatClient;
  readonly ledger: CallLedger;
  readonly cache: AnswerCache | null;
  /** Aborted when the writer is closed. */
  readonly closing: AbortController;
}

class TeacherWriter implements CritiqueWriter {
  readonly #config: TeacherConfig;
  readonly #options: TeacherOptions;
  readonly #limit: ReturnType<typeof createLimiter>;
  readonly #pace: Pace;
  /** Answers under way, by cache key: what is asked twice at once is paid once. */
  readonly #pending = new Map<string, Promise<Draft>>();
  #connection: Connection | null = null;

  constructor(config: TeacherConfig, options: TeacherOptions) {
    this.#config = config;
    this.#options = options;
    this.#limit = createLimiter(config.concurrency);
    this.#pace = new Pace(config.longestWaitSeconds * 1000, options.firstDelayMs);
  }

  async open({ runDirectory }: CriticRun): Promise<void> {
    const directory = runDirectory === null ? null : join(runDirectory, CRITIC_DIRECTORY);
    const cached = this.#config.cacheDirectory ?? (directory === null ? null : join(directory, CACHE_DIRECTORY));
    this.#connection = {
      client: await ChatClient.open(this.#config, this.#options.environment),
      ledger: await CallLedger.open(directory === null ? null : join(directory, CALLS_FILE), this.#config),
      cache: cached === null ? null : new AnswerCache(cached),
      closing: new AbortController(),
    };
    if (this.#config.checkAtStart) await this.#check(this.#connection);
  }

  async close(): Promise<void> {
    this.#connection?.closing.abort();
    this.#connection = null;
  }

  async write(prompts: readonly CritiquePrompt[], { signal }: { signal?: AbortSignal }): Promise<Draft[]> {
    const connection = this.#connection;
    if (connection === null) throw new Error("The teacher is not connected: call open() before critique()");
    const anyEnd =
      signal === undefined ? connection.closing.signal : AbortSignal.any([signal, connection.closing.signal]);
    return Promise.all(prompts.map(({ text }) => this.#draft(connection, text, anyEnd)));
  }

  /** A wrong key, model, address or parameter fails every call: better now than after a step's sampling. */
  async #check({ client, ledger }: Connection): Promise<void> {
    if (ledger.take() !== null) return;
    const start = performance.now();
    const outcome = await client.ask(CHECK_PROMPT);
    await ledger.note(callOf(outcome, "check", start), textsOf(CHECK_PROMPT, outcome));
    if (outcome.kind !== "error" || (outcome.retry && !outcome.unreachable)) return;
    throw new InputError(
      `critique.type teacher: ${this.#config.baseUrl} does not serve ${this.#config.model}: ${outcome.reason}. Check critique.baseUrl, critique.model and the key, or set critique.checkAtStart to false`,
    );
  }

  async #draft(connection: Connection, prompt: string, signal: AbortSignal): Promise<Draft> {
    const { baseUrl, azure } = this.#config;
    const key = cacheKey(baseUrl, azure?.apiVersion ?? null, ChatClient.parameters(this.#config), prompt);
    const pending = this.#pending.get(key);
    if (pending !== undefined) return shared(await pending);
    const draft = this.#limit(() => this.#cachedOrAsked(connection, key, prompt, signal));
    this.#pending.set(key, draft);
    try {
      return await draft;
    } finally {
      this.#pending.delete(key);
    }
  }

  async #cachedOrAsked(
    { client, ledger, cache }: Connection,
    key: string,
    prompt: string,
    signal: AbortSignal,
  ): Promise<Draft> {
    const cached = await cache?.read(key);
    if (cached) return { text: cached.text, record: { stopReason: cached.stopReason, cached: true } };
    const start = performance.now();
    let calls = 0;
    let cost: number | null = null;
    for (;;) {
      await this.#pace.ready(signal);
      const spent = ledger.take();
      const record = () => ({
        latencyMs: Math.round(performance.now() - start),
        calls,
        ...(cost === null ? {} : { cost }),
      });
      if (spent !== null) return { failure: spent, record: record() };
      const callStart = performance.now();
      const outcome = await client.ask(prompt, signal);
      calls++;
      const price = await ledger.note(callOf(outcome, "critique", callStart), textsOf(prompt, outcome));
      if (price !== null) cost = (cost ?? 0) + price;
      const { tokens } = outcome;
      const told = { ...record(), ...(tokens === undefined ? {} : { tokens }) };
      switch (outcome.kind) {
        case "answer": {
          const { text, stopReason } = outcome;
          if (text.trim() !== "") {
            await cache?.write(key, { text, stopReason });
            return { text, record: { ...told, stopReason } };
          }
          break;
        }
        case "refusal":
          return { failure: outcome.reason, record: told };
        case "error":
          if (!outcome.retry) return { failure: outcome.reason, record: told };
          break;
        default:
          throw new RangeError(`Unknown outcome ${String(outcome satisfies never)}`);
      }
      const reason = outcome.kind === "error" ? outcome.reason : "the answer is empty";
      if (calls >= this.#config.attempts)
        return { failure: `${reason} (attempt ${calls} of ${this.#config.attempts})`, record: told };
      const waitMs = outcome.kind === "error" ? outcome.waitMs : undefined;
      if (!(await this.#pace.backOff(calls, waitMs, signal))) {
        return {
          failure: `${reason}; it asks to wait ${Math.ceil(waitMs! / 1000)} s, longer than critique.longestWaitSeconds`,
          record: told,
        };
      }
    }
  }
}

/** The same answer for another request: nothing was paid for it. */
function shared(draft: Draft): Draft {
  const record = {
    ...(draft.record.stopReason === undefined ? {} : { stopReason: draft.record.stopReason }),
    cached: true,
  };
  return draft.text === undefined ? { failure: draft.failure, record: {} } : { text: draft.text, record };
}

function callOf(outcome: ChatOutcome, purpose: "critique" | "check", start: number) {
  return {
    ...{ purpose, outcome: outcome.kind, latencyMs: Math.round(performance.now() - start), tokens: outcome.tokens },
    ...("reason" in outcome ? { reason: outcome.reason } : {}),
  };
}

function textsOf(prompt: string, outcome: ChatOutcome) {
  return { prompt, completion: outcome.kind === "answer" ? outcome.text : "" };
}
