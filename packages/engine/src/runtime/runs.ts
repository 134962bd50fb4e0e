import { AbortError, throwIfAborted } from "./abort.js";
import type { NativeBinding } from "./native.js";

/** Runs at a time. More would only queue: libuv's pool has four threads, and file access waits behind the runs. */
const MAX_CONCURRENT_RUNS = 4;

let runningCount = 0;
const waiting: (() => void)[] = [];
const runningBindings = new Set<NativeBinding>();

let exitHandlerInstalled = false;

/**
 * A run in progress when the process exits would use memory of the library while it is torn down. Terminated runs end
 * at their next node; the event loop is gone by then, so all that is left is to wait for a moment.
 */
export function installExitHandler(): void {
  if (exitHandlerInstalled) return;
  exitHandlerInstalled = true;
  process.once("exit", () => {
    if (runningBindings.size === 0) return;
    for (const binding of runningBindings) binding.setTerminate(true);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 250);
  });
}

/**
 * Runs on a thread of the library's, after those that came before if many are in progress.
 * @throws AbortError if the signal aborts; the run ends at its next node.
 */
export async function runInBackground(native: NativeBinding, signal: AbortSignal | undefined): Promise<void> {
  throwIfAborted(signal);
  const onAbort = () => native.setTerminate(true);
  try {
    await acquireSlot(signal);
    try {
      signal?.addEventListener("abort", onAbort, { once: true });
      await new Promise<void>((resolve, reject) => {
        runningBindings.add(native);
        native.runAsync((error) => (error === null ? resolve() : reject(error)));
      });
    } finally {
      runningBindings.delete(native);
      signal?.removeEventListener("abort", onAbort);
      releaseSlot();
    }
  } catch (error) {
    if (!signal?.aborted || error instanceof AbortError) throw error;
    throw new AbortError(signal.reason);
  } finally {
    if (signal?.aborted) native.setTerminate(false);
  }
}

/** Waits until fewer than MAX_CONCURRENT_RUNS are in progress, in order of arrival. */
async function acquireSlot(signal: AbortSignal | undefined): Promise<void> {
  if (runningCount < MAX_CONCURRENT_RUNS) {
    runningCount++;
    return;
  }
  await new Promise<void>((resolve, reject) => {
    const enter = () => {
      signal?.removeEventListener("abort", leave);
      resolve();
    };
    const leave = () => {
      waiting.splice(waiting.indexOf(enter), 1);
      reject(new AbortError(signal?.reason));
    };
    waiting.push(enter);
    signal?.addEventListener("abort", leave, { once: true });
  });
}

/** Hands the slot to the next in line. */
function releaseSlot(): void {
  const next = waiting.shift();
  if (next === undefined) runningCount--;
  else next();
}
