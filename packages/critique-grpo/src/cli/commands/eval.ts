import { existsSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import { InputError } from "../../config/errors.js";
import { loadRunConfig } from "../../config/run.js";
import type { EvaluationResult, EvaluationSummary, SourceSummary } from "../../evaluation/types.js";
import { evaluateConfigured, openConfiguredPolicy, prepareRun } from "../../setup/prepare.js";
import { type CliIo, EXIT } from "../io.js";
import { formatCount, formatNumber, formatPercent, formatTable } from "../output/format.js";
import { addConfigOptions, newCommand, parseNumber } from "./common.js";

const EXAMPLES = `
Examples:
  critique-grpo eval runs/x                              the trained model of a run, on its held-out questions
  critique-grpo eval run.yaml                            the model the YAML starts from
  critique-grpo eval run.yaml --model runs/x/model --samples 8 --greedy
  critique-grpo eval run.yaml --files other.jsonl --out responses.jsonl --json > summary.json

pass@1 is the mean over the samples of a question; pass@k is the unbiased estimate 1 - C(n-c,k)/C(n,k). Brackets hold
95 % bootstrap intervals over questions. "never solved" counts questions without a right response in all samples.`;

interface EvalOptions {
  readonly set?: readonly string[];
  readonly model?: string;
  readonly files?: string;
  readonly samples?: number;
  readonly temperature?: number;
  readonly greedy?: boolean;
  readonly limit?: number;
  readonly out?: string;
  readonly json?: boolean;
}

export function evalCommand(io: CliIo, finish: (code: number) => void): Command {
  return addConfigOptions(
    newCommand("eval", "measure a model on held-out questions: pass@1, pass@k, greedy, by source"),
  )
    .argument("<config>", "YAML file, or the directory of a finished run")
    .option("--model <directory>", "evaluate this model instead of the configuration's")
    .option("--files <file>", "questions (default: evaluation.files)")
    .option("--samples <n>", "responses a question (default: evaluation.samples)", parseNumber(1, true))
    .option("--temperature <t>", "default: evaluation.temperature", parseNumber(0, false))
    .option("--greedy", "draw one greedy response a question as well")
    .option("--limit <n>", "use only the first questions", parseNumber(1, true))
    .option("--out <file>", "write every question with its responses, one JSON object a line")
    .option("--json", "print the summary as JSON")
    .addHelpText("after", EXAMPLES)
    .action(async (config: string, options: EvalOptions) => finish(await runEval(io, config, options)));
}

async function runEval(io: CliIo, argument: string, options: EvalOptions): Promise<number> {
  const { file, model } = evalTarget(argument, options.model);
  const quote = (path: string) => JSON.stringify(resolve(path));
  const overrides = [
    ...(model === undefined ? [] : [`engine.model=${quote(model)}`]),
    ...(options.files === undefined ? [] : [`evaluation.files=${quote(options.files)}`]),
    ...(options.samples === undefined ? [] : [`evaluation.samples=${options.samples}`]),
    ...(options.temperature === undefined ? [] : [`evaluation.temperature=${options.temperature}`]),
    ...(options.greedy ? ["evaluation.greedy=true"] : []),
    ...(options.limit === undefined ? [] : [`evaluation.limit=${options.limit}`]),
    ...(options.set ?? []),
  ];
  if (model !== undefined) requireModelKey(file, options.set ?? []);
  const { config } = loadRunConfig({ file, overrides });
  if (config.evaluation.files === undefined) {
    throw new InputError(`${file}: evaluation.files names no questions; set it, or give --files`);
  }
  const run = await prepareRun(config);
  for (const warning of run.warnings) io.stderr.write(`warning: ${warning}\n`);
  const { signal, release } = io.interruption("Stopping");
  const policy = await openConfiguredPolicy({ engine: config.engine });
  const live = io.stderr.isTTY === true;
  try {
    const result = await evaluateConfigured(run, policy, {
      signal,
      ...(live
        ? {
            onProgress: (done, total) => void io.stderr.write(`\r${formatCount(done)}/${formatCount(total)} responses`),
          }
        : {}),
    });
    if (live) io.stderr.write("\r\x1b[K");
    if (options.out !== undefined) writeFileSync(options.out, responseLines(result));
    io.stdout.write(`${options.json ? JSON.stringify(result.summary, null, 2) : describeSummary(result.summary)}\n`);
    return EXIT.ok;
  } finally {
    release();
    await policy.close();
  }
}

/** A run directory stands for its configuration and its trained model. */
function evalTarget(argument: string, model: string | undefined): { file: string; model: string | undefined } {
  const file = join(argument, "config.yaml");
  if (!existsSync(file)) return { file: argument, model };
  const trained = join(argument, "model");
  if (model === undefined && !existsSync(trained)) {
    throw new InputError(`${argument}: this run has no exported model yet; finish it, or name one with --model`);
  }
  return { file, model: model ?? trained };
}

/** A model directory can only be put in the place of another one. */
function requireModelKey(file: string, overrides: readonly string[]): void {
  const { engine } = loadRunConfig({ file, overrides }).config;
  if (engine.type === "embedded") return;
  throw new InputError(
    `${file}: engine.type is ${engine.type}, which evaluates engine.baseModel on its server and no model directory. An exported adapter has to be merged first (docs/distributed.md); the run's own evaluations are in evaluations.jsonl`,
  );
}

function responseLines({ questions }: EvaluationResult): string {
  return questions
    .map(({ question, responses, greedy }) =>
      JSON.stringify({
        id: question.id,
        dataSource: question.dataSource,
        question: question.text,
        gold: question.gold,
        responses,
        ...(greedy ? { greedy } : {}),
      }),
    )
    .map((line) => `${line}\n`)
    .join("");
}

/** The table a person reads. */
export function describeSummary(summary: EvaluationSummary): string {
  const ks = summary.passAt.map(({ k }) => k).filter((k) => k > 1);
  const greedy = summary.greedy !== undefined;
  const row = (source: SourceSummary): string[] => [
    source.dataSource,
    formatCount(source.questions),
    `${formatPercent(source.pass1.value)} [${formatPercent(source.pass1.low)}, ${formatPercent(source.pass1.high)}]`,
    ...ks.map((k) => formatPercent(source.passAt.find((entry) => entry.k === k)?.value)),
    ...(greedy ? [formatPercent(source.greedy?.value)] : []),
    formatCount(source.persistentFailures),
    formatNumber(source.meanReward),
  ];
  const head = [
    "source",
    "questions",
    "pass@1",
    ...ks.map((k) => `pass@${k}`),
    ...(greedy ? ["greedy"] : []),
    "never solved",
    "reward",
  ];
  const sources = summary.sources.length > 1 ? summary.sources.map(row) : [];
  const { mean, min, max } = summary.lengths;
  const notes = [
    `${summary.samples} sample(s) a question at temperature ${summary.temperature}; lengths ${formatNumber(mean)} (${min}–${max}) tokens, ${formatPercent(summary.truncated)} cut off; ${formatCount(summary.generatedTokens)} tokens in ${formatNumber(summary.seconds)} s`,
    ...(summary.rewardFailures > 0
      ? [`warning: the reward failed on ${summary.rewardFailures} responses; they count as wrong`]
      : []),
  ];
  return [formatTable([head, ...sources, row(summary)]), ...notes].join("\n");
}
