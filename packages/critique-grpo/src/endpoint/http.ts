/** What requests to model endpoints share: keys that stay secret, answers that end, waits that servers ask for. */

/** Answers are some ten thousand tokens: what is longer than this is none. */
const MAX_ANSWER_BYTES = 2 * 1024 * 1024;
/** A shorter key than this is a placeholder, and too common a text to be looked for. */
const LEAST_KEY_CHARACTERS = 6;

/** `fetch` and the client wrap what went wrong. */
export function rootCause(error: unknown): unknown {
  let current = error;
  while (current instanceof Error && current.cause !== undefined) current = current.cause;
  return current;
}

/** A text without the key. */
export function redact(text: string, key: string | null): string {
  return key === null || key.length < LEAST_KEY_CHARACTERS ? text : text.replaceAll(key, "[API key]");
}

/** What a server asks to wait, from `retry-after-ms` or `retry-after` (seconds, or a date). */
export function retryAfterMs(headers: Headers, nowMs: number): number | undefined {
  const milliseconds = Number.parseFloat(headers.get("retry-after-ms") ?? "");
  if (milliseconds >= 0) return milliseconds;
  const text = headers.get("retry-after");
  if (text === null) return undefined;
  const seconds = Number(text);
  const wait = Number.isNaN(seconds) ? Date.parse(text) - nowMs : seconds * 1000;
  return Number.isNaN(wait) ? undefined : Math.max(0, wait);
}

/**
 * `fetch` that follows no redirect (the key would go along), reads the whole answer up to a bound, and ends when the signal
 * does whatever the connection does.
 */
export const boundedFetch: typeof fetch = async (input, init) => {
  const aborted = rejectedOnAbort(init?.signal ?? undefined);
  const response = await Promise.race([fetch(input, { ...init, redirect: "error" }), aborted]);
  if (response.body === null) return response;
  const reader = response.body.getReader();
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for (;;) {
      const { done, value } = await Promise.race([reader.read(), aborted]);
      if (done) break;
      bytes += value.byteLength;
      if (bytes > MAX_ANSWER_BYTES) throw new RangeError(`the answer is longer than ${MAX_ANSWER_BYTES} bytes`);
      chunks.push(value);
    }
  } catch (error) {
    // Not waited for: it may hang as well.
    reader.cancel().catch(() => {});
    throw error;
  }
  const { status, statusText, headers } = response;
  return new Response(bytes === 0 ? null : Buffer.concat(chunks), { status, statusText, headers });
};

function rejectedOnAbort(signal: AbortSignal | undefined): Promise<never> {
  const aborted = new Promise<never>((_, reject) => {
    if (signal?.aborted) reject(signal.reason as Error);
    else signal?.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });
  // Nobody waits for it once the answer is there.
  aborted.catch(() => {});
  return aborted;
}
