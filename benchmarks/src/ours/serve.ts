import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import type { ReadyMessage, RoundMessage } from "../side.js";

/** Our half of the protocol of peers/side.py: one round of work for every line of standard input. */
export async function serve(ready: Omit<ReadyMessage, "ready">, work: () => Promise<Omit<RoundMessage, "peakBytes">>) {
  sendReady(ready);
  for await (const _ of roundsAskedFor()) sendRound(await work());
}

/** Yields for every round that is asked for; ends with the input. */
export async function* roundsAskedFor(): AsyncGenerator<void, void, void> {
  for await (const line of createInterface({ input: process.stdin })) {
    if (line.trim() === "") return;
    yield;
  }
}

export function sendReady(ready: Omit<ReadyMessage, "ready">): void {
  send({ ready: true, ...ready } satisfies ReadyMessage);
}

export function sendRound(measured: Omit<RoundMessage, "peakBytes">): void {
  send({ ...measured, peakBytes: peakBytes() } satisfies RoundMessage);
}

/** Starts a stopwatch: the returned function reads wall time and the processor time of all threads. */
export function stopwatch(): () => Pick<RoundMessage, "seconds" | "cpuSeconds"> {
  const start = performance.now();
  const cpuStart = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(cpuStart);
    return { seconds: (performance.now() - start) / 1000, cpuSeconds: (user + system) / 1e6 };
  };
}

export async function timed(work: () => Promise<void>): Promise<Pick<RoundMessage, "seconds" | "cpuSeconds">> {
  const read = stopwatch();
  await work();
  return read();
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

/** The arguments after the script: a model directory, whole numbers, then words. */
export function commandLine(): { directory: string; numbers: number[]; words: string[] } {
  const [directory, ...rest] = process.argv.slice(2);
  if (directory === undefined) throw new Error("Usage: node SIDE.js MODEL_DIRECTORY [NUMBER...] [WORD...]");
  const isNumber = (text: string) => /^\d+$/.test(text);
  return { directory, numbers: rest.filter(isNumber).map(Number), words: rest.filter((text) => !isNumber(text)) };
}

/** Highest resident memory of this process so far. */
function peakBytes(): number {
  return process.resourceUsage().maxRSS * 1024;
}

function send(message: ReadyMessage | RoundMessage): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}
