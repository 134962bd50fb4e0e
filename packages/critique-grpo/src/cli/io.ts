/** The edges of the CLI: where it writes and reads. Tests pass their own. */
import { setMaxListeners } from "node:events";

export interface OutputStream {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

export interface CliIo {
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  /** All of standard input; null where a person would have to type it. */
  readonly readStdin: () => Promise<string | null>;
  /** Aborted at the first Ctrl-C or SIGTERM of a command that can stop cleanly; `what` is then told to the user. */
  readonly interruption: (what?: string) => Interruption;
}

export interface Interruption {
  readonly signal: AbortSignal;
  /** Gives the signals back. */
  readonly release: () => void;
}

/** Exit codes, as documented in --help. */
export const EXIT = { ok: 0, failure: 1, usage: 2, interrupted: 130 } as const;

export function processIo(): CliIo {
  return {
    stdout: process.stdout,
    stderr: process.stderr,
    readStdin: async () => {
      if (process.stdin.isTTY) return null;
      const chunks: Buffer[] = [];
      for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
      return Buffer.concat(chunks).toString("utf8");
    },
    interruption: processInterruption,
  };
}

/** First Ctrl-C: finish cleanly. Second: stop now. */
function processInterruption(what = "Stopping with a checkpoint"): Interruption {
  const controller = new AbortController();
  // Every call in flight listens to it; Node's warning at eleven would look like a leak.
  setMaxListeners(0, controller.signal);
  const listener = () => {
    if (controller.signal.aborted) process.exit(EXIT.interrupted);
    process.stderr.write(`\n${what}; press Ctrl-C again to stop at once.\n`);
    controller.abort();
  };
  process.on("SIGINT", listener);
  process.on("SIGTERM", listener);
  return {
    signal: controller.signal,
    release: () => {
      process.off("SIGINT", listener);
      process.off("SIGTERM", listener);
    },
  };
}
