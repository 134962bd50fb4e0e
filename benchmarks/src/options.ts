import { parseArgs } from "node:util";
import { allRows, type BenchmarkRow, type RowGroup, rowGroups } from "./rows/index.js";

export interface Options {
  readonly json: string | undefined;
  readonly markdown: string | undefined;
  readonly quick: boolean;
  readonly rounds: number;
  /** Threads of both sides; undefined: what each takes by default. */
  readonly threads: number | undefined;
  /** What is measured, in the order of the table. */
  readonly rows: readonly BenchmarkRow[];
  readonly help: boolean;
}

export const usage = `npm run bench -- [options]

Compares the engine with Python peers (PyTorch, transformers, TRL), in interleaved rounds on this machine.
The peers' environment is set up in .venv/torch when it is missing (conformance/setup.sh).

  --rows GROUP     one of ${Object.keys(rowGroups).join(", ")}; may be given more than once (default: all)
  --only NAME      a row by itself; may be given more than once:
                   ${allRows.map(({ name }) => name).join(", ")}
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
      rows: { type: "string", multiple: true },
      only: { type: "string", multiple: true },
      help: { type: "boolean", default: false },
    },
  });
  const rounds = count("rounds", values.rounds) ?? (values.quick ? 3 : 7);
  const threads = count("threads", values.threads);
  const { json, markdown, quick, help } = values;
  return { json, markdown, quick, rounds, threads, rows: chooseRows(values.rows ?? [], values.only ?? []), help };
}

function chooseRows(groups: readonly string[], names: readonly string[]): readonly BenchmarkRow[] {
  if (groups.length === 0 && names.length === 0) return allRows;
  for (const group of groups) {
    if (!isRowGroup(group)) throw new Error(`--rows ${group}: there are ${Object.keys(rowGroups).join(", ")}.`);
  }
  for (const name of names) {
    if (!allRows.some((row) => row.name === name)) {
      throw new Error(`--only ${name}: there are ${allRows.map((row) => row.name).join(", ")}.`);
    }
  }
  const inGroups = groups.filter(isRowGroup).flatMap((group) => rowGroups[group]);
  return allRows.filter((row) => inGroups.includes(row) || names.includes(row.name));
}

function count(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) {
    throw new Error(`--${name} is ${text}; a whole number of at least 1 is needed.`);
  }
  return value;
}

function isRowGroup(name: string): name is RowGroup {
  return Object.hasOwn(rowGroups, name);
}
