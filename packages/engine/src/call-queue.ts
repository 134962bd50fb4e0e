/** Runs tasks one after another in the order they were added. A task that fails does not stop those behind it. */
export class CallQueue {
  private tail: Promise<unknown> = Promise.resolve();

  run<T>(task: () => Promise<T>): Promise<T> {
    const result = this.tail.then(task);
    this.tail = result.catch(() => {});
    return result;
  }

  /** Waits for its turn and keeps it until the returned function is called. */
  async enter(): Promise<() => void> {
    let leave = () => {};
    const held = new Promise<void>((resolve) => {
      leave = resolve;
    });
    await new Promise<void>((resolve) => {
      void this.run(() => {
        resolve();
        return held;
      });
    });
    return leave;
  }
}
