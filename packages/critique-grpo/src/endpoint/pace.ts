/** When to ask again after a failure. */
import { setTimeout as sleep } from "node:timers/promises";

const FIRST_DELAY_MS = 1000;

/** All calls to one server: what it asks one of them to wait, all of them wait. */
export class Pace {
  readonly #longestMs: number;
  readonly #firstDelayMs: number;
  #pausedUntil = 0;

  /** @param longestMs longest wait before an attempt */
  constructor(longestMs: number, firstDelayMs = FIRST_DELAY_MS) {
    this.#longestMs = longestMs;
    this.#firstDelayMs = firstDelayMs;
  }

  /** Waits while the server wants no calls. Throws AbortError on abort. */
  async ready(signal?: AbortSignal): Promise<void> {
    for (let wait = this.#remaining(); wait > 0; wait = this.#remaining()) await pause(wait, signal);
  }

  /**
   * Waits before the next attempt: as long as the server asks, else 1, 2, 4 … seconds and up to a quarter less.
   * @param attempt attempts made
   * @returns false, at once, if the server asks for more than the longest wait
   */
  async backOff(attempt: number, waitMs: number | undefined, signal?: AbortSignal): Promise<boolean> {
    if (waitMs !== undefined) {
      if (waitMs > this.#longestMs) return false;
      this.#pausedUntil = Math.max(this.#pausedUntil, performance.now() + waitMs);
      return true;
    }
    const delay = Math.min(this.#firstDelayMs * 2 ** (attempt - 1), this.#longestMs);
    await pause(delay * (1 - 0.25 * Math.random()), signal);
    return true;
  }

  #remaining(): number {
    return this.#pausedUntil - performance.now();
  }
}

async function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  await sleep(Math.ceil(milliseconds), undefined, signal === undefined ? {} : { signal });
}
