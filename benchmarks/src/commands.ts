import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { BenchmarkRow, SideProgram } from "./rows/index.js";
import type { SideCommand } from "./side.js";

export const repositoryRoot = fileURLToPath(new URL("../../", import.meta.url));

/** glibc would return and map again the large blocks of every step; this is the faster setting for PyTorch. */
const pythonEnvironment = { MALLOC_MMAP_THRESHOLD_: "2147483647", MALLOC_TRIM_THRESHOLD_: "4294967296" };

const python = join(repositoryRoot, ".venv", "torch", "bin", "python");

export interface CommandOptions {
  readonly modelDirectory: string;
  readonly quick: boolean;
  readonly threads: number | undefined;
}

export function oursCommand(row: BenchmarkRow, options: CommandOptions): SideCommand {
  return command(row.ours, row, [], options);
}

export function peerCommand(row: BenchmarkRow, variant: readonly string[], options: CommandOptions): SideCommand {
  return command(row.peer, row, variant, options);
}

function command(
  program: SideProgram,
  row: BenchmarkRow,
  variant: readonly string[],
  { modelDirectory, quick, threads }: CommandOptions,
): SideCommand {
  const common = [modelDirectory, ...row.arguments.map(String), ...variant];
  if ("ours" in program) {
    const script = fileURLToPath(new URL(`./ours/${program.ours}.js`, import.meta.url));
    return {
      command: process.execPath,
      args: [script, ...common, ...(program.arguments ?? [])],
      env: threads === undefined ? {} : { BENCH_THREADS: String(threads) },
    };
  }
  const script = join(repositoryRoot, "benchmarks", "peers", program.python);
  const env = { ...pythonEnvironment, BENCH_TRIES: quick ? "1" : "3", ...threadEnvironment(threads) };
  return { command: python, args: [script, ...common], env };
}

export function sgemmCommand({ threads }: CommandOptions): SideCommand {
  const script = join(repositoryRoot, "benchmarks", "peers", "sgemm.py");
  return { command: python, args: [script], env: threadEnvironment(threads) };
}

function threadEnvironment(threads: number | undefined): Record<string, string> {
  return threads === undefined ? {} : { OMP_NUM_THREADS: String(threads), OPENBLAS_NUM_THREADS: String(threads) };
}
