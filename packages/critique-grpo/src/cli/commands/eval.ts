import { join } from "node:path";
import type { Command } from "commander";
import { InputError } from "../../config/errors.js";
import { benchmarks } from "../../evaluation/benchmarks/registry.js";
import { EvaluationDirectory } from "../../evaluation/directory.js";
import type { ResponseGenerator } from "../../evaluation/generators/generator.js";
import { measure } from "../../evaluation/measure.js";
import { openSaved } from "../../evaluation/rescore.js";
import type { EvaluationResult, EvaluationSummary } from "../../evaluation/types.js";
import { builtInVerifier } from "../../evaluation/verifier.js";
import { builtInRewards } from "../../feedback/reward/resolve.js";
import {
  evaluationName,
  type OpenGenerator,
  type PreparedEvaluation,
  prepareEvaluation,
  type TargetOptions,
} from "../../setup/evaluation-target.js";
import { type CliIo, EXIT } from "../io.js";
import { describeSummary } from "../output/evaluation.js";
import { formatCount } from "../output/format.js";
import { addConfigOptions, collect, deviceOption, newCommand, parseBenchmarks, parseNumber } from "./common.js";

const EXAMPLES = `
Targets:
  runs/x                          the trained model of a run, on its held-out questions
  run.yaml                        the model that the YAML starts from
  models/Qwen3-0.6B               a Hugging Face model directory
  http://127.0.0.1:8000/v1        an OpenAI-compatible endpoint, with --model NAME
  tinker://…/sampler_weights/…    a checkpoint on a Tinker server, with --tokenizer DIRECTORY (and --base-url)

Examples:
  critique-grpo eval runs/x
  critique-grpo eval runs/x --benchmark math500,aime24 --benchmark-directory data/benchmarks
  critique-grpo eval models/Qwen3-0.6B --benchmark gsm8k=data/gsm8k/test.jsonl --samples 8
  critique-grpo eval http://127.0.0.1:8000/v1 --model Qwen3-8B --benchmark gpqa --concurrency 32
  critique-grpo eval --rescore runs/x/evaluations/math500-1a2b3c4d

Benchmarks: ${[...benchmarks.keys()].join(", ")}; NAME=FILE takes the questions from a file of yours.
Every generation is kept in the evaluation directory (--out); the same command goes on where it was stopped. pass@1 is
the mean over the samples of a question; pass@k is the unbiased estimate 1 - C(n-c,k)/C(n,k); "majority" is the answer
that most samples give. Brackets hold 95 % bootstrap intervals over questions. "never solved" counts questions without a
right response in all samples. docs/evaluation.md tells more.`;

interface EvalOptions extends Omit<TargetOptions, "benchmarks" | "overrides" | "endpoint"> {
  readonly set?: readonly string[];
  readonly benchmark?: readonly string[];
  readonly out?: string;
  readonly json?: boolean;
  readonly rescore?: string;
  readonly keyVariable?: string;
  readonly concurrency?: number;
  readonly timeout?: number;
  readonly retries?: number;
  readonly request?: string;
}

export function evalCommand(io: CliIo, finish: (code: number) => void): Command {
  return addConfigOptions(
    newCommand("eval", "measure a model on benchmarks or held-out questions: pass@1, pass@k, majority, by source"),
  )
    .argument("[target]", "run directory, YAML file, model directory, endpoint or tinker:// path")
    .option("--benchmark <names>", "benchmarks, comma-separated; may be repeated", collect)
    .option("--benchmark-directory <directory>", "where benchmark files are looked for, and kept that are downloaded")
    .option("--files <file>", "questions (default: evaluation.files)")
    .option(
      "--reward <name>",
      `judges --files without a YAML, and --rescore: ${Object.keys(builtInRewards).join(", ")} (default: math)`,
    )
    .option(
      "--samples <n>",
      "responses a question (default: evaluation.samples, the benchmark's)",
      parseNumber(1, true),
    )
    .option("--temperature <t>", "default: evaluation.temperature, 0.6", parseNumber(0, false))
    .option("--top-p <p>", "default: evaluation.topP, 1", parseNumber(0, false))
    .option(
      "--max-tokens <n>",
      "longest response (default: evaluation.maxTokens; without a YAML 4096, or what the context allows)",
      parseNumber(1, true),
    )
    .option("--seed <n>", "default: the YAML's, 0", parseNumber(0, true))
    .option("--greedy", "draw one greedy response a question as well")
    .option("--limit <n>", "use only the first questions of each set", parseNumber(1, true))
    .option("--system <text>", "system message of benchmark questions")
    .option("--prompt-template <text>", "text around benchmark questions; {question} is replaced")
    .option("--plain", "encode prompts as they are, without the chat template")
    .option("--model <name>", "model directory in the place of the YAML's; name of the model at an endpoint")
    .option("--tokenizer <directory>", "directory with tokenizer.json (default: the model directory)")
    .addOption(deviceOption())
    .option("--threads <n>", "threads of the engine (default: all cores)", parseNumber(1, true))
    .option("--context-length <n>", "longest prompt + response (default: what the model allows)", parseNumber(2, true))
    .option("--base-url <address>", "Tinker server of a tinker:// path (default: TINKER_BASE_URL)")
    .option("--key-variable <name>", "environment variable with the endpoint's key (default: OPENAI_API_KEY)")
    .option("--concurrency <n>", "requests to the endpoint in flight (default: 8)", parseNumber(1, true))
    .option("--timeout <seconds>", "of one request to the endpoint (default: 600)", parseNumber(0.1, false))
    .option("--retries <n>", "further tries of a request to the endpoint (default: 5)", parseNumber(0, true))
    .option(
      "--rescore <path>",
      "score saved generations anew: an evaluation directory, or JSONL with gold and responses",
    )
    .option("--out <directory>", "evaluation directory (default: evaluations/… in the run or here)")
    .option("--json", "print the summary as JSON")
    .addHelpText("after", EXAMPLES)
    .action(async (target: string | undefined, options: EvalOptions) =>
      finish(
        options.rescore === undefined
          ? await runEval(io, target, options)
          : await runRescore(io, target, options.rescore, options),
      ),
    );
}

async function runEval(io: CliIo, argument: string | undefined, options: EvalOptions): Promise<number> {
  if (argument === undefined) {
    throw new InputError("nothing to evaluate; name a run, a YAML, a model directory, an endpoint or a tinker:// path");
  }
  const prepared = await prepareEvaluation(argument, targetOptions(options));
  for (const warning of prepared.warnings) io.stderr.write(`warning: ${warning}\n`);
  const path = options.out ?? join(prepared.parent, evaluationName(prepared));
  const { target, sets, settings } = prepared;
  const directory = await EvaluationDirectory.open(path, { target, settings, evaluationSets: sets });
  if (directory.found > 0) io.stderr.write(`${formatCount(directory.found)} responses are there already\n`);
  const { signal, release } = io.interruption("Stopping; the same command goes on");
  const { generator, close } = openOnDemand(prepared);
  const progress = showProgress(io);
  try {
    const { summary } = await measure(generator, sets, {
      ...settings,
      ...{ journal: directory, signal, onProgress: progress.show },
    });
    progress.clear();
    await directory.finish(summary);
    printSummary(io, summary, options);
    io.stderr.write(`every generation: ${path}\n`);
    return EXIT.ok;
  } finally {
    release();
    await close();
    await directory.close();
  }
}

/** Where all responses are there, no model is loaded. */
function openOnDemand({ open }: PreparedEvaluation): OpenGenerator {
  let opened: Promise<OpenGenerator> | undefined;
  const generator: ResponseGenerator = {
    async *generate(requests, options) {
      opened ??= open();
      yield* (await opened).generator.generate(requests, options);
    },
  };
  return { generator, close: async () => (await opened?.catch(() => undefined))?.close() };
}

function targetOptions(options: EvalOptions): TargetOptions {
  const { benchmark, set, keyVariable, concurrency, timeout, retries, request } = options;
  if (options.topP !== undefined && (options.topP <= 0 || options.topP > 1)) {
    throw new InputError(`--top-p is ${options.topP}; it must be in (0, 1]`);
  }
  return {
    ...options,
    ...(benchmark === undefined ? {} : { benchmarks: parseBenchmarks(benchmark) }),
    overrides: set ?? [],
    endpoint: {
      ...(keyVariable === undefined ? {} : { keyVariable }),
      ...(concurrency === undefined ? {} : { concurrency }),
      ...(timeout === undefined ? {} : { timeoutMs: 1000 * timeout }),
      ...(retries === undefined ? {} : { retries }),
      ...(request === undefined ? {} : { request: parseRequest(request) }),
    },
  };
}

function parseRequest(text: string): Record<string, unknown> {
  try {
    const fields: unknown = JSON.parse(text);
    if (typeof fields === "object" && fields !== null && !Array.isArray(fields)) return { ...fields };
  } catch {
    // Told below.
  }
  throw new InputError(`--request must be a JSON object, e.g. {"reasoning_effort": "low"}; it is ${text}`);
}

async function runRescore(
  io: CliIo,
  argument: string | undefined,
  path: string,
  options: EvalOptions,
): Promise<number> {
  // A target brings the rewards of its configuration.
  const own = argument === undefined ? [] : (await prepareEvaluation(argument, targetOptions(options))).sets;
  const saved = await openSaved(path, async (set, name) => {
    const configured = own.find((candidate) => candidate.name === set);
    if (configured !== undefined) return configured.verifier;
    const wanted = options.reward ?? name ?? "math";
    if (Object.hasOwn(builtInRewards, wanted)) return builtInVerifier(wanted);
    throw new InputError(
      `${set} was scored by ${wanted}, which is not built in (${Object.keys(builtInRewards).join(", ")}); name the run or YAML that has it before --rescore, or give --reward`,
    );
  });
  const { sets, settings, generator } = saved;
  const target = { kind: "saved", name: path } as const;
  const directory =
    options.out === undefined
      ? undefined
      : await EvaluationDirectory.open(options.out, { target, settings, evaluationSets: sets });
  const { signal, release } = io.interruption("Stopping");
  const progress = showProgress(io);
  try {
    const journal = directory === undefined ? {} : { journal: directory };
    const result = await measure(generator, sets, { ...settings, ...journal, signal, onProgress: progress.show });
    progress.clear();
    await directory?.finish(result.summary);
    printSummary(io, result.summary, options);
    if (!options.json) io.stdout.write(`${describeChanges(result, sets[0]!.name, saved)}\n`);
    return EXIT.ok;
  } finally {
    release();
    await directory?.close();
  }
}

/** How many verdicts are other than those that were saved. */
function describeChanges(
  { questions }: EvaluationResult,
  firstSet: string,
  { sets, verdict }: Awaited<ReturnType<typeof openSaved>>,
): string {
  const setOf = new Map(sets.flatMap(({ name, questions: own }) => own.map((question) => [question, name] as const)));
  let compared = 0;
  let changed = 0;
  for (const { question, responses } of questions) {
    for (const [sample, { reward }] of responses.entries()) {
      const before = verdict(setOf.get(question) ?? firstSet, question.id, sample);
      if (before === undefined) continue;
      compared++;
      if (before !== reward.correct) changed++;
    }
  }
  return compared === 0 ? "there were no verdicts to compare with" : `${changed} of ${compared} verdicts changed`;
}

function printSummary(io: CliIo, summary: EvaluationSummary, { json }: EvalOptions): void {
  io.stdout.write(`${json ? JSON.stringify(summary, null, 2) : describeSummary(summary)}\n`);
}

const REDRAW_MS = 100;

function showProgress({ stderr }: CliIo) {
  if (stderr.isTTY !== true) return { show: () => {}, clear: () => {} };
  let drawn = 0;
  return {
    show: (done: number, total: number) => {
      const now = performance.now();
      if (now - drawn < REDRAW_MS && done < total) return;
      drawn = now;
      stderr.write(`\r${formatCount(done)}/${formatCount(total)} responses`);
    },
    clear: () => void stderr.write("\r\x1b[K"),
  };
}
