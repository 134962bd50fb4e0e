import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import type { ReadyMessage, RoundMessage } from "../side.js";

/** Our half of the protocol of peers/side.py: one round of work for every line of standard input. */
export async function serve(ready: Omit<ReadyMessage, "ready">, work: () => Promise<Omit<RoundMessage, "peakBytes">>) {
  send({ ready: true, ...ready } satisfies ReadyMessage);
  for await (const line of createInterface({ input: process.stdin })) {
    if (line.trim() === "") break;
    send({ ...(await work()), peakBytes: peakBytes() } satisfies RoundMessage);
  }
}

export async function timed(work: () => Promise<void>): Promise<Pick<RoundMessage, "seconds" | "cpuSeconds">> {
  const start = performance.now();
  const cpuStart = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(cpuStart);
  return { seconds: (performance.now() - start) / 1000, cpuSeconds: (user + system) / 1e6 };
}

export function versions(): Record<string, string> {
  const runtime = JSON.parse(
    readFileSync(new URL("../../../node_modules/onnxruntime-node/package.json", import.meta.url), "utf8"),
  ) as { version: string };
  return { node: process.version, onnxruntime: runtime.version };
}

/** Threads that --threads asks for; nothing where the engine decides. */
export function threadOptions(): { threads?: number } {
  const threads = process.env.BENCH_THREADS;
  return threads === undefined ? {} : { threads: Number(threads) };
}

/** The arguments after the script: a model directory, then whole numbers. */
export function commandLine(): { directory: string; numbers: number[] } {
  const [directory, ...rest] = process.argv.slice(2);
  if (directory === undefined) throw new Error("Usage: node SIDE.js MODEL_DIRECTORY NUMBER...");
  return { directory, numbers: rest.map(Number) };
}

/** Highest resident memory of this process so far. */
function peakBytes(): number {
  return process.resourceUsage().maxRSS * 1024;
}

function send(message: ReadyMessage | RoundMessage): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}
