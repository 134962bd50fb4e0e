import { parseArgs } from "node:util";
import { type BenchmarkName, benchmarkNames } from "./definitions.js";

export interface Options {
  readonly json: string | undefined;
  readonly markdown: string | undefined;
  readonly quick: boolean;
  readonly rounds: number;
  /** Threads of both sides; undefined: what each takes by default. */
  readonly threads: number | undefined;
  readonly only: readonly BenchmarkName[];
  readonly help: boolean;
}

export const usage = `npm run bench -- [options]

Compares the engine with Python peers (PyTorch, transformers, TRL), in interleaved rounds on this machine.
The peers' environment is set up in .venv/torch when it is missing (conformance/setup.sh).

  --only NAME      one of ${benchmarkNames.join(", ")}; may be given more than once
  --rounds N       measured rounds of each side (default 7)
  --threads N      threads of both sides (default: what each takes by itself)
  --quick          3 rounds, and the peers try their settings only once
  --json FILE      writes everything that was measured
  --markdown FILE  writes the table between the marks of FILE, or as a new FILE
  --help           this text
`;

/** @throws Error that names the wrong option. */
export function parseOptions(argv: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      json: { type: "string" },
      markdown: { type: "string" },
      quick: { type: "boolean", default: false },
      rounds: { type: "string" },
      threads: { type: "string" },
      only: { type: "string", multiple: true },
      help: { type: "boolean", default: false },
    },
  });
  const rounds = count("rounds", values.rounds) ?? (values.quick ? 3 : 7);
  const threads = count("threads", values.threads);
  const only = values.only ?? benchmarkNames;
  for (const name of only) {
    if (!isBenchmarkName(name)) throw new Error(`--only ${name}: there are ${benchmarkNames.join(", ")}.`);
  }
  const { json, markdown, quick, help } = values;
  return { json, markdown, quick, rounds, threads, only: only.filter(isBenchmarkName), help };
}

function count(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) {
    throw new Error(`--${name} is ${text}; a whole number of at least 1 is needed.`);
  }
  return value;
}

function isBenchmarkName(name: string): name is BenchmarkName {
  return (benchmarkNames as readonly string[]).includes(name);
}
