/** What a teacher has cost: every call, on disk, so that a budget holds for a run and all its resumptions together. */
import { dirname } from "node:path";
import { appendJsonLine, dropTornLine, ensureDirectory, readJsonLines } from "../../../run/files.js";
import type { TeacherConfig } from "./chat-client.js";

export interface CallRecord {
  readonly schemaVersion: number;
  /** ISO 8601. */
  readonly time: string;
  /** "check" is the call at the start of a run. */
  readonly purpose: "critique" | "check";
  readonly outcome: "answer" | "refusal" | "error";
  readonly reason?: string;
  readonly latencyMs: number;
  readonly promptTokens: number;
  readonly completionTokens: number;
  /** The server did not tell the tokens: they are counted from the length of the texts. */
  readonly estimated?: true;
  /** Null without a price. */
  readonly cost: number | null;
}

const SCHEMA_VERSION = 1;
/** For servers that do not count: UTF-8 bytes of a token, on the low side. */
const BYTES_PER_TOKEN = 3;

export class CallLedger {
  readonly #file: string | null;
  readonly #config: Pick<TeacherConfig, "budget" | "price">;
  /** Lines wait for the first critique: a run that does not come about leaves nothing behind. */
  readonly #waiting: CallRecord[] = [];
  #ready: Promise<void> | null = null;
  #calls = 0;
  #tokens = 0;

  private constructor(file: string | null, config: Pick<TeacherConfig, "budget" | "price">) {
    this.#file = file;
    this.#config = config;
  }

  /** @param file null: nothing is kept */
  static async open(file: string | null, config: Pick<TeacherConfig, "budget" | "price">): Promise<CallLedger> {
    const ledger = new CallLedger(file, config);
    if (file === null) return ledger;
    for (const record of await readJsonLines<CallRecord>(file)) {
      ledger.#calls++;
      ledger.#tokens += record.promptTokens + record.completionTokens;
    }
    return ledger;
  }

  /** Takes a call out of the budget; the reason if there is none left. Calls under way may overdraw the tokens. */
  take(): string | null {
    const { calls, tokens } = this.#config.budget;
    if (calls !== undefined && this.#calls >= calls) return `the budget of ${calls} calls is spent`;
    if (tokens !== undefined && this.#tokens >= tokens) return `the budget of ${tokens} tokens is spent`;
    this.#calls++;
    return null;
  }

  /** Notes a call that was taken; texts are for counting where the server does not. Returns its cost. */
  async note(
    call: Pick<CallRecord, "purpose" | "outcome" | "latencyMs"> & {
      readonly reason?: string;
      readonly tokens: { readonly prompt: number; readonly completion: number } | undefined;
    },
    texts: { readonly prompt: string; readonly completion: string },
  ): Promise<number | null> {
    const { tokens, ...rest } = call;
    // An error is not billed, as far as anyone can tell.
    const estimated = tokens === undefined && call.outcome !== "error";
    const counted = tokens ?? {
      prompt: estimated ? estimate(texts.prompt) : 0,
      completion: estimated ? estimate(texts.completion) : 0,
    };
    this.#tokens += counted.prompt + counted.completion;
    const { price } = this.#config;
    const cost =
      price === undefined ? null : (counted.prompt * price.input + counted.completion * price.output) / 1_000_000;
    this.#waiting.push({
      ...{ schemaVersion: SCHEMA_VERSION, time: new Date().toISOString(), ...rest },
      ...{ promptTokens: counted.prompt, completionTokens: counted.completion, cost },
      ...(estimated ? { estimated } : {}),
    });
    if (call.purpose === "critique") await this.#flush();
    return cost;
  }

  async #flush(): Promise<void> {
    const records = this.#waiting.splice(0);
    if (this.#file === null) return;
    // Not before: a run that is refused changes nothing.
    this.#ready ??= prepareFile(this.#file);
    await this.#ready;
    for (const record of records) await appendJsonLine(this.#file, record);
  }
}

async function prepareFile(file: string): Promise<void> {
  await ensureDirectory(dirname(file));
  await dropTornLine(file);
}

function estimate(text: string): number {
  return Math.ceil(Buffer.byteLength(text) / BYTES_PER_TOKEN);
}
