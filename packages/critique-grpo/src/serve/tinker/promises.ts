/** Work in the background: the promise a client gets at once, and the result it asks for later. */
import { createHash, randomUUID } from "node:crypto";
import type { ForwardBackwardOutput, SampleResponse } from "@critique-grpo/tinker";
import {
  encodeForwardBackwardOutput,
  encodeSampleResponse,
  forwardBackwardOutputToJson,
  PROTOBUF_CONTENT_TYPE,
  sampleResponseToJson,
} from "@critique-grpo/tinker/codec";
import { HttpError } from "../../http/errors.js";

export type Result =
  | { readonly kind: "json"; readonly value: object }
  | { readonly kind: "training"; readonly output: ForwardBackwardOutput }
  | { readonly kind: "samples"; readonly response: SampleResponse };

/** Sent where a client does not ask for protobuf, or the result is none of the two that have it. */
export interface EncodedResult {
  readonly contentType: string;
  readonly bytes: Uint8Array;
}

interface Entry {
  state: "pending" | "done" | "failed";
  result?: Result;
  failure?: { readonly error: string; readonly category: "user" | "server" };
  /** When it may be forgotten. */
  expiresAt: number;
  readonly settled: Promise<void>;
  readonly controller: AbortController;
}

const UNREAD_LIFE_MS = 2 * 3_600_000;
/** A lost answer may be asked for again. */
const READ_LIFE_MS = 10 * 60_000;

export class PromiseStore {
  readonly #entries = new Map<string, Entry>();
  /** Requests that must not act twice: their body and their promise. */
  readonly #known = new Map<string, { readonly hash: string; readonly answer: object; readonly requestId: string }>();
  readonly #closing = new AbortController();

  /**
   * The answer to a request: a promise, the same one for a repetition with the same key and body.
   * Throws HttpError 409 if the key was used for another body.
   */
  accept(
    request: { readonly key: string | undefined; readonly route: string; readonly body: Buffer },
    start: () => { readonly work: (signal: AbortSignal) => Promise<Result>; readonly facts: object },
  ): object {
    const hash = createHash("sha256").update(request.route).update("\0").update(request.body).digest("hex");
    const earlier = request.key === undefined ? undefined : this.#known.get(request.key);
    if (earlier !== undefined) {
      if (earlier.hash !== hash) throw new HttpError(409, `${request.key} was used before with another request`);
      return earlier.answer;
    }
    const { work, facts } = start();
    const requestId = this.#run(work);
    const answer = { request_id: requestId, ...facts };
    if (request.key !== undefined) this.#known.set(request.key, { hash, answer, requestId });
    this.#forgetOld();
    return answer;
  }

  /** Waits up to `waitMs`; null while it is not done. Throws HttpError 404 for an id that is not known (any more). */
  async wait(
    requestId: string,
    waitMs: number,
    gone: AbortSignal,
  ): Promise<Result | { readonly error: string } | null> {
    const entry = this.#entries.get(requestId);
    if (entry === undefined)
      throw new HttpError(404, `There is no result ${requestId}: the server was restarted, or it was read long ago`);
    if (entry.state === "pending") await this.#waitFor(entry, waitMs, gone);
    if (entry.state === "pending") return null;
    entry.expiresAt = Date.now() + READ_LIFE_MS;
    return entry.state === "done" ? entry.result! : entry.failure!;
  }

  cancel(requestId: string): void {
    this.#entries.get(requestId)?.controller.abort();
  }

  /** Ends all waiting and all work that can be interrupted. */
  close(): void {
    this.#closing.abort();
    for (const entry of this.#entries.values()) entry.controller.abort();
  }

  #run(work: (signal: AbortSignal) => Promise<Result>): string {
    const requestId = randomUUID();
    const controller = new AbortController();
    const settled = work(controller.signal).then(
      (result) => {
        entry.state = "done";
        entry.result = result;
      },
      (error: unknown) => {
        entry.state = "failed";
        entry.failure = describeFailure(error);
      },
    );
    const entry: Entry = { state: "pending", settled, controller, expiresAt: Number.POSITIVE_INFINITY };
    void settled.then(() => {
      entry.expiresAt = Date.now() + UNREAD_LIFE_MS;
    });
    this.#entries.set(requestId, entry);
    return requestId;
  }

  async #waitFor(entry: Entry, waitMs: number, gone: AbortSignal): Promise<void> {
    const stop = AbortSignal.any([gone, this.#closing.signal]);
    if (stop.aborted) return;
    let finish = () => {};
    const interrupted = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const timer = setTimeout(finish, waitMs);
    stop.addEventListener("abort", finish, { once: true });
    await Promise.race([entry.settled, interrupted]);
    clearTimeout(timer);
    stop.removeEventListener("abort", finish);
  }

  #forgetOld(): void {
    if (this.#entries.size % 256 !== 0) return;
    const now = Date.now();
    for (const [id, entry] of this.#entries) if (entry.expiresAt < now) this.#entries.delete(id);
    // What repeats after that is past its turn, and refused for it.
    for (const [key, { requestId }] of this.#known) if (!this.#entries.has(requestId)) this.#known.delete(key);
  }
}

export function encodeResult(result: Result, accept: string): EncodedResult {
  const json = (value: unknown) => ({ contentType: "application/json", bytes: Buffer.from(JSON.stringify(value)) });
  const protobuf = accept.includes(PROTOBUF_CONTENT_TYPE);
  const binary = (bytes: Uint8Array) => ({ contentType: PROTOBUF_CONTENT_TYPE, bytes });
  switch (result.kind) {
    case "json":
      return json(result.value);
    case "training":
      return protobuf
        ? binary(encodeForwardBackwardOutput(result.output))
        : json(forwardBackwardOutputToJson(result.output));
    case "samples":
      return protobuf ? binary(encodeSampleResponse(result.response)) : json(sampleResponseToJson(result.response));
    default:
      return result satisfies never;
  }
}

function describeFailure(error: unknown): { error: string; category: "user" | "server" } {
  const message = error instanceof Error ? error.message : String(error);
  return { error: message, category: error instanceof HttpError && error.status < 500 ? "user" : "server" };
}
