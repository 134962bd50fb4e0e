import { onAbort } from "./abort.js";

/**
 * A counting semaphore with first-come order, for connections as well as bytes. A request larger than the capacity is
 * let through alone, so that nothing waits for ever.
 */
export class Semaphore {
  private free: number;
  private readonly waiting: { readonly amount: number; readonly start: () => void }[] = [];

  constructor(private readonly capacity: number) {
    this.free = capacity;
  }

  /** Resolves with a function that gives the amount back (once). Rejects with the signal's reason when aborted while waiting. */
  async acquire(amount = 1, signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted();
    const needed = Math.min(amount, this.capacity);
    if (this.waiting.length > 0 || this.free < needed) {
      await new Promise<void>((resolve, reject) => {
        const entry = {
          amount: needed,
          start: () => {
            stopListening();
            resolve();
          },
        };
        const leave = (): void => {
          const index = this.waiting.indexOf(entry);
          if (index < 0) return;
          this.waiting.splice(index, 1);
          reject(signal?.reason);
          this.startWaiting();
        };
        this.waiting.push(entry);
        const stopListening = signal === undefined ? () => undefined : onAbort(signal, leave);
      });
    } else {
      this.free -= needed;
    }
    let released = false;
    return () => {
      if (released) return;
      released = true;
      this.free += needed;
      this.startWaiting();
    };
  }

  private startWaiting(): void {
    while (this.waiting.length > 0 && this.waiting[0]!.amount <= this.free) {
      const next = this.waiting.shift()!;
      this.free -= next.amount;
      next.start();
    }
  }
}
