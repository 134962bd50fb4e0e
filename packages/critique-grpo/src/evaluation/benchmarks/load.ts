/** From the name of a benchmark to its questions. */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { InputError } from "../../config/errors.js";
import { didYouMean } from "../../config/nearest.js";
import type { LocatedQuestion } from "../../data/load.js";
import { type LocatedRow, type Row, readRows } from "../../data/read.js";
import { downloadBenchmark, type HubOptions } from "./hub.js";
import { type Benchmark, BOXED_INSTRUCTION, benchmarks, SUITE_FILES } from "./registry.js";

export interface BenchmarkSource {
  /** Its file: rows in verl's format, or with columns question (problem) and answer. Default: looked for. */
  readonly file?: string | undefined;
  /** Where files are looked for, and kept that come from the hub. Default: ~/.cache/critique-grpo/benchmarks. */
  readonly directory?: string | undefined;
  readonly hub?: HubOptions | undefined;
}

/** How the questions are put to the model. */
export interface PromptStyle {
  /** Default: the benchmark's. */
  readonly template?: string | undefined;
  readonly system?: string | undefined;
  readonly format: "chat" | "plain";
}

/** @throws InputError that lists the names there are */
export function benchmarkNamed(name: string): Benchmark {
  const benchmark = benchmarks.get(name);
  if (benchmark !== undefined) return benchmark;
  const known = [...benchmarks.keys()];
  throw new InputError(
    `there is no benchmark called ${JSON.stringify(name)}${didYouMean(name, known)}; there are ${known.join(", ")}, and any JSONL or parquet file`,
  );
}

/**
 * The questions of a benchmark, each once: released files repeat those of small sets, which is what samples are for.
 * @throws InputError if there is no file for it, or it holds none of its questions
 */
export async function loadBenchmark(
  benchmark: Benchmark,
  source: BenchmarkSource,
  style: PromptStyle,
): Promise<LocatedQuestion[]> {
  const file = source.file ?? (await findFile(benchmark, source));
  const rows = (await readRows(file)).filter(({ row }) => belongs(benchmark, row));
  if (rows.length === 0) {
    throw new InputError(
      `${file}: no question of ${benchmark.title} (no row with data_source ${benchmark.dataSource})`,
    );
  }
  const seen = new Set<string>();
  const questions: LocatedQuestion[] = [];
  for (const located of rows) {
    const text = questionOf(benchmark, located);
    if (seen.has(text)) continue;
    seen.add(text);
    const id = `${benchmark.name}-${String(questions.length).padStart(4, "0")}`;
    const question = {
      ...{ id, dataSource: benchmark.name, text, gold: answerOf(benchmark, located), metadata: {} },
      prompt: promptOf(text, { ...style, template: style.template ?? benchmark.template }),
    };
    questions.push({ question, location: located.location });
  }
  return questions;
}

async function findFile(benchmark: Benchmark, { directory, hub }: BenchmarkSource): Promise<string> {
  const folder = directory ?? join(homedir(), ".cache", "critique-grpo", "benchmarks");
  for (const ending of ["parquet", "jsonl"]) {
    const file = join(folder, `${benchmark.name}.${ending}`);
    if (existsSync(file)) return file;
  }
  for (const name of SUITE_FILES) {
    const file = join(folder, name);
    if (existsSync(file) && (await readRows(file)).some(({ row }) => row.data_source === benchmark.dataSource)) {
      return file;
    }
  }
  if (benchmark.hub !== null) return downloadBenchmark(benchmark, benchmark.hub, folder, hub);
  throw new InputError(
    `benchmark ${benchmark.name} (${benchmark.title}) is not in ${folder} and is given only to those who agree to its terms; put its file there as ${benchmark.name}.parquet or ${benchmark.name}.jsonl, or name a directory that has it with --benchmark-directory (evaluation.benchmarkDirectory)`,
  );
}

/** Rows without a `data_source` are all of one benchmark. */
function belongs({ dataSource }: Benchmark, row: Row): boolean {
  return dataSource === undefined || row.data_source === undefined || row.data_source === dataSource;
}

/** The bare question: without the system message and the instruction that some released files add. */
function questionOf({ hub }: Benchmark, { row, location }: LocatedRow): string {
  const value = row.prompt ?? row[hub?.question ?? "question"] ?? row.question ?? row.problem;
  const messages = Array.isArray(value) ? (value as { role?: unknown; content?: unknown }[]) : [];
  const text = typeof value === "string" ? value : messages.findLast(({ role }) => role === "user")?.content;
  if (typeof text !== "string" || text.trim() === "") {
    throw new InputError(
      `${location}: no question; looked for prompt, question, problem, the row has ${Object.keys(row).join(", ")}`,
    );
  }
  const trimmed = text.trim();
  return trimmed.endsWith(BOXED_INSTRUCTION) ? trimmed.slice(0, -BOXED_INSTRUCTION.length).trim() : trimmed;
}

function answerOf({ hub, answerAfter }: Benchmark, { row, location }: LocatedRow): string {
  const rewardModel = row.reward_model as Row | undefined;
  const value = rewardModel?.ground_truth ?? row[hub?.answer ?? "answer"] ?? row.answer;
  const text = Array.isArray(value) ? value.join(", ") : String(value ?? "");
  const position = answerAfter === undefined ? -1 : text.lastIndexOf(answerAfter);
  const answer = (position < 0 ? text : text.slice(position + answerAfter!.length)).trim();
  if (answer !== "") return answer;
  throw new InputError(
    `${location}: no answer; looked for reward_model.ground_truth and ${hub?.answer ?? "answer"}, the row has ${Object.keys(row).join(", ")}`,
  );
}

function promptOf(text: string, { template, system, format }: PromptStyle & { readonly template: string }) {
  const content = template.replaceAll("{question}", () => text);
  if (format === "plain") return content;
  return [
    ...(system === undefined ? [] : [{ role: "system" as const, content: system }]),
    { role: "user" as const, content },
  ];
}
