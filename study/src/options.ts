/** The command line of the study. */
import { parseArgs } from "node:util";
import { InputError } from "critique-grpo";

export interface Options {
  readonly action: "run" | "quick" | "report" | "verify";
  readonly jobs: number;
  /** Empty: all. */
  readonly cells: readonly string[];
  readonly verify: string | undefined;
}

export const USAGE = `Usage: npm run study -- [options]

Trains and measures every method on every seed of both task families (hours of processor time), then writes
docs/reproduction.md. Cells that have a result are skipped: a study that was stopped goes on with the rest.

  --quick         the main methods on one seed of one family (minutes); its numbers are no part of the report
  --report        only write docs/reproduction.md and its plots, from the results that are there
  --cell NAME     only this cell, e.g. operations/dr-grpo/101; may be repeated
  --verify NAME   run a cell a second time, warm-up included, and compare every number and the weights
  --jobs N        processes at a time, one thread each (default 2)
  --help
`;

/** Null: the usage is asked for. @throws InputError that says what is wrong. */
export function parseOptions(args: readonly string[]): Options | null {
  const { values } = parse(args);
  if (values.help) return null;
  const chosen = (["quick", "report", "verify"] as const).filter((name) => values[name]);
  if (chosen.length > 1) throw new InputError(`--${chosen.join(" and --")} do not go together`);
  const jobs = Number(values.jobs);
  if (!(Number.isInteger(jobs) && jobs >= 1)) {
    throw new InputError(`--jobs ${values.jobs}: must be a whole number of at least 1`);
  }
  return { action: chosen[0] ?? "run", jobs, cells: values.cell, verify: values.verify };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        quick: { type: "boolean", default: false },
        report: { type: "boolean", default: false },
        cell: { type: "string", multiple: true, default: [] },
        verify: { type: "string" },
        jobs: { type: "string", default: "2" },
        help: { type: "boolean", short: "h", default: false },
      },
    });
  } catch (error) {
    throw new InputError(`${(error as Error).message}\n\n${USAGE}`);
  }
}
