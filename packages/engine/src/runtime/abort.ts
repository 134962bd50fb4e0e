/** The error of a cancelled operation; its `cause` is the signal's reason. */
export class AbortError extends Error {
  override readonly name = "AbortError";
  readonly code = "ABORT_ERR";
  constructor(reason?: unknown) {
    super("The operation was aborted", { cause: reason });
  }
}

/** @throws AbortError if the signal has been aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new AbortError(signal.reason);
}
