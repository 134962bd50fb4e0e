/** Yields the results of promises as they come, in any order; the first failure ends it. */
export async function* asTheyFinish<T>(promises: readonly Promise<T>[]): AsyncIterable<T> {
  const finished: T[] = [];
  let failure: { readonly error: unknown } | undefined;
  let wake = () => {};
  for (const promise of promises) {
    promise.then(
      (value) => {
        finished.push(value);
        wake();
      },
      (error: unknown) => {
        failure ??= { error };
        wake();
      },
    );
  }
  for (let left = promises.length; left > 0; ) {
    if (failure !== undefined) throw failure.error;
    if (finished.length === 0) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
      continue;
    }
    for (const value of finished.splice(0)) {
      left--;
      yield value;
    }
  }
}
