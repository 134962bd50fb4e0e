/** A result still on its way, boxed so that awaiting its submission does not await it too. */
export interface Pending<T> {
  readonly result: Promise<T>;
}

/** Boxes a result; its failure shows where it is awaited, not as an unhandled rejection. */
export function pending<T>(result: Promise<T>): Pending<T> {
  result.catch(() => undefined);
  return { result };
}

export function mapPending<T, U>(source: Pending<T>, map: (value: T) => U): Pending<U> {
  return pending(source.result.then(map));
}
