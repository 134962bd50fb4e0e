/** Hands values from producers to one consumer. Values wait without bound; an error comes after the values before it. */
export class Channel<T> {
  readonly #values: T[] = [];
  #error: unknown;
  #state: "open" | "closed" | "failed" = "open";
  #wake: (() => void) | undefined;

  push(value: T): void {
    this.#values.push(value);
    this.#wake?.();
  }

  close(): void {
    if (this.#state === "open") this.#state = "closed";
    this.#wake?.();
  }

  /** The first error counts. */
  fail(error: unknown): void {
    if (this.#state === "open") {
      this.#state = "failed";
      this.#error = error;
    }
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, void> {
    for (;;) {
      // Shifting one by one is quadratic for long arrays: take all that is there.
      for (const value of this.#values.splice(0)) yield value;
      if (this.#values.length > 0) continue;
      if (this.#state === "failed") throw this.#error;
      if (this.#state === "closed") return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }
}
