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

/** `fetch` that follows no redirect (the key would go along) and reads no endless answer. */
export const boundedFetch: typeof fetch = async (input, init) => {
  const response = await fetch(input, { ...init, redirect: "error" });
  if (response.body === null) return response;
  let bytes = 0;
  const bound = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      bytes += chunk.byteLength;
      if (bytes <= MAX_ANSWER_BYTES) controller.enqueue(chunk);
      else controller.error(new RangeError(`the answer is longer than ${MAX_ANSWER_BYTES} bytes`));
    },
  });
  const { status, statusText, headers } = response;
  return new Response(response.body.pipeThrough(bound), { status, statusText, headers });
};
