/** Evaluations of a run: those in evaluations.jsonl and the finished ones of `critique-grpo eval` in evaluations/. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { BenchmarkResult, EvaluationsAnswer, EvaluationView, Interval, PassRow } from "@critique-grpo/dashboard";
import { readIfPresent } from "../../run/files.js";
import { readEvaluations } from "../../run/readers.js";

const DIRECTORY = "evaluations";
type Fields = Readonly<Record<string, unknown>>;

export async function evaluationCount(directory: string): Promise<number> {
  return (await readEvaluations(directory)).length + (await separateNames(directory)).length;
}

export async function runEvaluations(directory: string): Promise<EvaluationsAnswer> {
  const during = (await readEvaluations(directory)).map((record) => view(record, null));
  const separate: EvaluationView[] = [];
  for (const name of await separateNames(directory)) {
    const content = await readIfPresent(join(directory, DIRECTORY, name, "summary.json"));
    const summary = content === null ? null : fields(tryParse(content));
    // Without a summary it is not finished.
    if (summary !== null) separate.push(view(summary, name));
  }
  return { evaluations: [...during, ...separate] };
}

async function separateNames(directory: string): Promise<string[]> {
  const entries = await readdir(join(directory, DIRECTORY), { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
}

function view(record: Fields, name: string | null): EvaluationView {
  const sources = Array.isArray(record.sources) ? record.sources : [];
  const lengths = fields(record.lengths);
  return {
    step: number(record.step),
    name,
    time: typeof record.time === "string" ? record.time : null,
    samples: number(record.samples),
    temperature: number(record.temperature),
    truncated: number(record.truncated),
    meanLength: number(lengths?.mean),
    benchmarks: [record, ...sources].flatMap((source) => {
      const found = fields(source);
      return found === null ? [] : [benchmark(found)];
    }),
  };
}

function benchmark(source: Fields): BenchmarkResult {
  const passAt = (Array.isArray(source.passAt) ? source.passAt : []).flatMap((row): PassRow[] => {
    const k = number(fields(row)?.k);
    const estimate = interval(row);
    return k === null || estimate === null ? [] : [{ k, ...estimate }];
  });
  const pass1 = interval(source.pass1);
  return {
    name: typeof source.dataSource === "string" ? source.dataSource : "all",
    questions: number(source.questions) ?? 0,
    passAt: passAt.length > 0 || pass1 === null ? passAt : [{ k: 1, ...pass1 }],
    greedy: interval(source.greedy),
    majority: interval(source.majority),
    persistentFailures: number(source.persistentFailures),
    meanReward: number(source.meanReward),
  };
}

function interval(value: unknown): Interval | null {
  const found = fields(value);
  const middle = number(found?.value);
  return middle === null
    ? null
    : { value: middle, low: number(found?.low) ?? middle, high: number(found?.high) ?? middle };
}

function fields(value: unknown): Fields | null {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : null;
}

function number(value: unknown): number | null {
  return typeof value === "number" ? value : null;
}

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
