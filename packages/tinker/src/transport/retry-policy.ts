import { onAbort } from "./abort.js";
import type { HttpResponse } from "./http-client.js";

/** Times of the retry loops. The defaults are those of the official client. */
export interface RetryOptions {
  /** Retries at the fast pace, `min(initial · 2^n, max)` with jitter. */
  readonly fastRetries: number;
  readonly initialDelayMs: number;
  readonly maxDelayMs: number;
  /** Then `min(slowInitial · 2^n, slowMax)` until `submissionTimeoutMs` is over. */
  readonly slowInitialDelayMs: number;
  readonly slowMaxDelayMs: number;
  /** Budget of one call from its first attempt, waits included. */
  readonly submissionTimeoutMs: number;
  /** Limit of one HTTP exchange. */
  readonly requestTimeoutMs: number;
  /** Limit of one long poll; the next follows at once. */
  readonly pollTimeoutMs: number;
  /** Longest wait for a result, from its promise. */
  readonly resultTimeoutMs: number;
  /** Longest time without any answer from the server while waiting for a result. */
  readonly unreachableTimeoutMs: number;
  /** Pause before asking again while the account is blocked (402). */
  readonly billingPauseMs: number;
  /** Pause of all sampling after a 429; five times as long for prompts above 128 KiB. */
  readonly samplingPauseMs: number;
}

export const DEFAULT_RETRY: RetryOptions = {
  fastRetries: 10,
  initialDelayMs: 500,
  maxDelayMs: 10_000,
  slowInitialDelayMs: 1_000,
  slowMaxDelayMs: 30_000,
  submissionTimeoutMs: 300_000,
  requestTimeoutMs: 60_000,
  pollTimeoutMs: 45_000,
  resultTimeoutMs: 3_600_000,
  unreachableTimeoutMs: 300_000,
  billingPauseMs: 5_000,
  samplingPauseMs: 1_000,
};

/** Bare 400s come from a proxy in front of the service, not from the service: this many are retried. */
export const BARE_400_BUDGET = 16;

/** Wait before retry `attempt` (from 0), in milliseconds. `random` is uniform in [0, 1). */
export function retryDelayMs(
  options: RetryOptions,
  attempt: number,
  random: number,
  fastRetries = options.fastRetries,
): number {
  if (attempt < fastRetries) {
    return Math.min(options.initialDelayMs * 2 ** attempt, options.maxDelayMs) * (1 - 0.25 * random);
  }
  return Math.min(options.slowInitialDelayMs * 2 ** (attempt - fastRetries), options.slowMaxDelayMs);
}

function header(response: HttpResponse, name: string): string | undefined {
  const value = response.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

/** The server's own wish, in milliseconds, from `retry-after-ms` or `retry-after`; undefined if absent or above 60 s. */
export function retryAfterMs(response: HttpResponse, nowMs: number): number | undefined {
  const milliseconds = Number.parseFloat(header(response, "retry-after-ms") ?? "");
  const text = header(response, "retry-after");
  let wait = milliseconds;
  if (Number.isNaN(wait) && text !== undefined) {
    wait = Number.parseFloat(text) * 1_000;
    if (Number.isNaN(wait)) wait = Date.parse(text) - nowMs;
  }
  return wait >= 0 && wait <= 60_000 ? wait : undefined;
}

/** Whether a status is worth a retry: `x-should-retry` decides, else 408, 409, 429 and 5xx are. */
export function shouldRetryStatus(response: HttpResponse, retryConflict: boolean): boolean {
  const wish = header(response, "x-should-retry");
  if (wish === "true") return true;
  if (wish === "false") return false;
  const { status } = response;
  return status === 408 || status === 429 || status >= 500 || (status === 409 && retryConflict);
}

/** Statuses that say that the server did not take the request on. */
export function surelyRefused(status: number): boolean {
  return status === 429 || status === 503 || (status >= 400 && status < 500 && status !== 408);
}

/** A 400 without a body: made by a proxy in front of the service. */
export function isBareBadRequest(response: HttpResponse): boolean {
  return response.status === 400 && response.body.length === 0;
}

/** Waits; rejects with the signal's reason when aborted. */
export async function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => {
      stopListening();
      resolve();
    }, milliseconds);
    const stopListening =
      signal === undefined
        ? () => undefined
        : onAbort(signal, () => {
            clearTimeout(timer);
            reject(signal.reason);
          });
  });
}
