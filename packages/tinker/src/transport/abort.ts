const hubs = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Calls back once when the signal aborts; gives the function that takes the callback back. All callbacks of a signal share
 * one listener: callers pass one signal to hundreds of calls, and a signal's own list of listeners is searched from its
 * start at every addition (and warned about).
 */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  if (signal.aborted) {
    callback();
    return () => undefined;
  }
  let hub = hubs.get(signal);
  if (hub === undefined) {
    const callbacks = new Set<() => void>();
    signal.addEventListener(
      "abort",
      () => {
        for (const one of [...callbacks]) one();
        callbacks.clear();
      },
      { once: true },
    );
    hubs.set(signal, callbacks);
    hub = callbacks;
  }
  const callbacks = hub;
  callbacks.add(callback);
  return () => void callbacks.delete(callback);
}

const joined = new WeakMap<AbortSignal, WeakMap<AbortSignal, AbortSignal>>();

/** Aborts when either does. The same two signals give the same third one, so that a long session does not collect them. */
export function eitherSignal(first: AbortSignal, second: AbortSignal): AbortSignal {
  const others = joined.get(first) ?? new WeakMap<AbortSignal, AbortSignal>();
  joined.set(first, others);
  const either = others.get(second) ?? AbortSignal.any([first, second]);
  others.set(second, either);
  return either;
}
