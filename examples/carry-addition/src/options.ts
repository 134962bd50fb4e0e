/** The command line of the quickstart. */
import { parseArgs } from "node:util";
import { InputError } from "critique-grpo";

export interface Options {
  readonly seeds: readonly number[];
  readonly out: string | undefined;
  readonly quick: boolean;
  readonly help: boolean;
}

export const USAGE = `Usage: npm run quickstart -- [options]

A model of 0.4 million parameters learns to carry in addition: Dr. GRPO (reward alone) and Critique-GRPO (reward and the
words of a critic) from the same warm-up, with no more sampled tokens than Dr. GRPO.

  --seeds LIST   seeds, comma-separated (default 1,2,3); each has its own model, questions and samples
  --out DIR      new directory for everything that is written (default runs/quickstart, then -2, -3, …)
  --quick        a few steps only, to see that everything works; the numbers mean nothing
  --help
`;

/** @throws InputError that says what is wrong. */
export function parseOptions(args: readonly string[]): Options {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        seeds: { type: "string", default: "1,2,3" },
        out: { type: "string" },
        quick: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    return { seeds: parseSeeds(values.seeds), out: values.out, quick: values.quick, help: values.help };
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(`${(error as Error).message}\n\n${USAGE}`);
  }
}

function parseSeeds(text: string): number[] {
  const seeds = text.split(",").map((part) => (/^\s*\d+\s*$/.test(part) ? Number(part) : Number.NaN));
  const bad = seeds.findIndex((seed) => !(seed < 2 ** 31));
  if (bad >= 0) {
    throw new InputError(`--seeds ${text}: "${text.split(",")[bad]}" is not a seed; give whole numbers, e.g. 1,2,3`);
  }
  if (new Set(seeds).size !== seeds.length) throw new InputError(`--seeds ${text}: a seed stands there twice`);
  return seeds;
}
