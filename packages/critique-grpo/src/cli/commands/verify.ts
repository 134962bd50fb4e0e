import { extname } from "node:path";
import { type VerificationRecord, verifyRecord } from "@critique-grpo/math-verify";
import type { Command } from "commander";
import { InputError } from "../../config/errors.js";
import { writeFileAtomic } from "../../run/files.js";
import { type CliIo, EXIT } from "../io.js";
import { formatTable } from "../output/format.js";
import { newCommand, readTextFile } from "./common.js";

const EXAMPLES = `
A record is {"gold": "…", "prediction": "…", "options": {…}}; further keys are kept. The output adds correct, outcome
(correct, incorrect, unverifiable, error), reason, the two answers found (goldAnswer, predictionAnswer) and micros, the
time in microseconds. Options: docs/math-verify.md, in our spelling or Math-Verify's.

Examples:
  critique-grpo verify --cases cases.jsonl --out verdicts.jsonl
  critique-grpo verify --gold '\\frac{1}{2}' --prediction 'so it is \\boxed{0.5}'`;

interface VerifyCommandOptions {
  readonly cases?: string;
  readonly out?: string;
  readonly gold?: string;
  readonly prediction?: string;
}

export function verifyCommand(io: CliIo, finish: (code: number) => void): Command {
  return newCommand("verify", "grade answers: is each prediction mathematically equal to its gold answer?")
    .option("--cases <file>", "records to grade, JSON (an array) or JSON lines")
    .option("--out <file>", "where the graded records go, one JSON object a line (default: standard output)")
    .option("--gold <text>", "grade one answer instead of a file: the right answer …")
    .option("--prediction <text>", "… and the response")
    .addHelpText("after", EXAMPLES)
    .action(async (options: VerifyCommandOptions) => finish(await runVerify(io, options)));
}

async function runVerify(io: CliIo, { cases, out, gold, prediction }: VerifyCommandOptions): Promise<number> {
  if (cases === undefined) {
    if (gold === undefined || prediction === undefined) {
      throw new InputError("verify needs --cases FILE, or --gold and --prediction");
    }
    io.stdout.write(`${JSON.stringify(verifyRecord({ gold, prediction }), null, 2)}\n`);
    return EXIT.ok;
  }
  const graded = readRecords(cases).map(({ record, location }) => grade(record, location));
  const lines = graded.map((record) => `${JSON.stringify(record)}\n`).join("");
  if (out === undefined) {
    io.stdout.write(lines);
    return EXIT.ok;
  }
  await writeFileAtomic(out, lines);
  io.stdout.write(`${describe(graded)}\n`);
  return EXIT.ok;
}

type Graded = ReturnType<typeof grade>;

function grade(record: Readonly<Record<string, unknown>>, location: string) {
  let result: ReturnType<typeof verifyRecord>;
  try {
    result = verifyRecord(record as unknown as VerificationRecord);
  } catch (error) {
    throw new InputError(`${location}: ${(error as Error).message}`, { cause: error });
  }
  const { gold: goldAnswer, prediction: predictionAnswer, ...verdict } = result;
  return { ...record, ...verdict, goldAnswer, predictionAnswer };
}

interface LocatedRecord {
  readonly record: Readonly<Record<string, unknown>>;
  readonly location: string;
}

/** An array in a .json file, else one object a line. Throws InputError with file and line (or index). */
function readRecords(file: string): LocatedRecord[] {
  const text = readTextFile(file);
  const parse = (json: string, location: string): unknown => {
    try {
      return JSON.parse(json);
    } catch (error) {
      throw new InputError(`${location}: not JSON: ${(error as Error).message}`, { cause: error });
    }
  };
  let values: { value: unknown; location: string }[];
  if (extname(file).toLowerCase() === ".json") {
    const array = parse(text, file);
    if (!Array.isArray(array)) throw new InputError(`${file}: must hold an array of records`);
    values = array.map((value, index) => ({ value, location: `${file}[${index}]` }));
  } else {
    values = text.split("\n").flatMap((line, index) => {
      const location = `${file}:${index + 1}`;
      return line.trim() === "" ? [] : [{ value: parse(line, location), location }];
    });
  }
  if (values.length === 0) throw new InputError(`${file}: no records`);
  return values.map(({ value, location }) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new InputError(`${location}: a record must be an object with gold and prediction`);
    }
    const record = value as Readonly<Record<string, unknown>>;
    if (typeof record.prediction !== "string") throw new InputError(`${location}: "prediction" must be text`);
    if (record.gold !== null && typeof record.gold !== "string") {
      throw new InputError(`${location}: "gold" must be text (or null, to extract only)`);
    }
    return { record, location };
  });
}

function describe(graded: readonly Graded[]): string {
  const outcomes = new Map<string, number>();
  for (const { outcome } of graded) outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  const micros = graded.map((record) => record.micros).sort((a, b) => a - b);
  const rows = [...outcomes].sort((a, b) => b[1] - a[1]).map(([outcome, count]) => [outcome, String(count)]);
  return `${formatTable([["outcome", "records"], ...rows])}\n${graded.length} records, median ${micros[micros.length >> 1]} µs, slowest ${micros.at(-1)} µs`;
}
