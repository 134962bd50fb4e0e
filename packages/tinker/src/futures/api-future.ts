/**
 * A result on its way. Awaiting it gives the result; `submitted` resolves earlier, when the server has taken the request on,
 * so that the next request may be queued. A failure that nobody awaits is not reported as an unhandled rejection: it shows
 * wherever the future, or anything queued after it, is awaited.
 */
export interface ApiFuture<T> extends Promise<T> {
  readonly submitted: Promise<void>;
}

/** Makes a future of its two stages. */
export function apiFuture<T>(submitted: Promise<unknown>, result: Promise<T>): ApiFuture<T> {
  const accepted = submitted.then(() => undefined);
  accepted.catch(() => undefined);
  result.catch(() => undefined);
  return Object.assign(result, { submitted: accepted });
}
