import { parseArgs } from "node:util";
import { type BenchmarkName, benchmarkNames } from "./definitions.js";

export interface Options {
  readonly json: string | undefined;
  readonly markdown: string | undefined;
  readonly quick: boolean;
  readonly rounds: number;
  readonly only: readonly BenchmarkName[];
  readonly help: boolean;
}

export const usage = `npm run bench -- [options]

Compares the engine with Python peers (PyTorch, transformers, TRL), in interleaved rounds on this machine.
The peers' environment is set up in .venv/torch when it is missing (conformance/setup.sh).

  --only NAME      one of ${benchmarkNames.join(", ")}; may be given more than once
  --rounds N       measured rounds of each side (default 7)
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
      only: { type: "string", multiple: true },
      help: { type: "boolean", default: false },
    },
  });
  const rounds = values.rounds === undefined ? (values.quick ? 3 : 7) : Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) {
    throw new Error(`--rounds is ${values.rounds}; a whole number of at least 1 is needed.`);
  }
  const only = values.only ?? benchmarkNames;
  for (const name of only) {
    if (!isBenchmarkName(name)) throw new Error(`--only ${name}: there are ${benchmarkNames.join(", ")}.`);
  }
  const { json, markdown, quick, help } = values;
  return { json, markdown, quick, rounds, only: only.filter(isBenchmarkName), help };
}

function isBenchmarkName(name: string): name is BenchmarkName {
  return (benchmarkNames as readonly string[]).includes(name);
}
