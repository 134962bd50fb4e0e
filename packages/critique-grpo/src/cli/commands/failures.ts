import { join } from "node:path";
import type { Command } from "commander";
import { InputError } from "../../config/errors.js";
import { analyseFailures } from "../../evaluation/failures/analyse.js";
import { FailureDirectory } from "../../evaluation/failures/directory.js";
import { failureReport } from "../../evaluation/failures/report.js";
import { digest } from "../../setup/evaluation-target.js";
import { type FailureWishes, prepareFailures } from "../../setup/failures.js";
import { openConfiguredPolicy } from "../../setup/prepare.js";
import { type CliIo, EXIT } from "../io.js";
import { describeFailures } from "../output/failures.js";
import { formatCount } from "../output/format.js";
import { addConfigOptions, collect, newCommand, parseBenchmarks, parseNumber } from "./common.js";

const EXAMPLES = `
Examples:
  critique-grpo failures run.yaml                                 before training: what can critiques do for this model?
  critique-grpo failures runs/x --tries 8 --critic simple --critic program=critic.ts
  critique-grpo failures runs/x --benchmark math500 --critic self --json > report.json

Questions without a right response in all tries are persistent failures: GRPO learns nothing from them. Each of their
tries is criticised and refined once, by each kind of critique, with the run's refinement prompt and sampling. "none" are
as many further tries without a critique: what trying again alone would solve. "valid" critiques are no fallbacks, and
conclude what the verifier says; "right" refinements over all that were drawn; "solved" questions have a right one.
Every attempt is kept in --out; the same command goes on where it was stopped, critics may be added.`;

interface FailuresOptions extends Omit<FailureWishes, "critics" | "benchmarks" | "overrides"> {
  readonly set?: readonly string[];
  readonly benchmark?: readonly string[];
  readonly critic?: readonly string[];
  readonly tries: number;
  readonly refine?: number;
  readonly out?: string;
  readonly json?: boolean;
}

export function failuresCommand(io: CliIo, finish: (code: number) => void): Command {
  return addConfigOptions(
    newCommand("failures", "which questions does a model never solve, and which critiques help it to?"),
  )
    .argument("<target>", "run directory (its trained model), or YAML file (the model it starts from)")
    .option("--tries <k>", "responses a question; none right = a persistent failure", parseNumber(1, true), 8)
    .option("--refine <n>", "tries of a failed question that are refined (default: all)", parseNumber(1, true))
    .option(
      "--critic <kind>",
      "simple, simple_gt, self, program=FILE, checkpoint=DIRECTORY, or the YAML's critique.type; may be repeated (default: simple, simple_gt and the YAML's)",
      collect,
    )
    .option("--benchmark <names>", "benchmarks in the place of the training questions, comma-separated", collect)
    .option("--benchmark-directory <directory>", "where benchmark files are looked for")
    .option("--files <file>", "questions in the place of the training questions")
    .option("--limit <n>", "use only the first questions", parseNumber(1, true))
    .option("--seed <n>", "default: the YAML's", parseNumber(0, true))
    .option("--model <directory>", "analyse this model instead of the configuration's")
    .option("--out <directory>", "where attempts and report go (default: failures/… in the run or here)")
    .option("--json", "print the report as JSON")
    .addHelpText("after", EXAMPLES)
    .action(async (target: string, options: FailuresOptions) => finish(await runFailures(io, target, options)));
}

async function runFailures(io: CliIo, argument: string, options: FailuresOptions): Promise<number> {
  const { tries, refine = tries, set, benchmark, critic } = options;
  if (refine > tries) throw new InputError(`--refine is ${refine}, but there are only ${tries} tries of a question`);
  const prepared = await prepareFailures(argument, {
    ...options,
    ...(benchmark === undefined ? {} : { benchmarks: parseBenchmarks(benchmark) }),
    ...(critic === undefined ? {} : { critics: critic }),
    overrides: set ?? [],
  });
  for (const warning of prepared.warnings) io.stderr.write(`warning: ${warning}\n`);
  const { config, codec, questions, score, critics, target, parent } = prepared;
  const { seed, sampling, refinement, group, algorithm } = config;
  const settings = {
    tries,
    refine,
    seed,
    sampling,
    refinement: { template: refinement.template, maxTokens: refinement.maxTokens },
  };
  const identity = { target, settings };
  const path = options.out ?? join(parent, digest([identity, questions.map(({ id }) => id)]));
  const journal = await FailureDirectory.open(path, identity, questions);
  if (journal.found > 0) io.stderr.write(`${formatCount(journal.found)} attempts are there already\n`);
  const { signal, release } = io.interruption("Stopping; the same command goes on");
  const policy = await openConfiguredPolicy({ engine: config.engine });
  try {
    for (const { critic: writer } of critics) await writer.open?.({ policy, codec, runDirectory: path });
    const attempts = await analyseFailures({
      ...{
        config: { seed, sampling, refinement, group, algorithm },
        policy,
        codec,
        score,
        questions,
        tries,
        refine,
        critics,
      },
      ...{ journal, signal },
      onProgress: (stage, done, total) =>
        void io.stderr.write(`${stage}: ${formatCount(done)}/${formatCount(total)} questions\n`),
    });
    const report = failureReport(attempts, tries, refine);
    await journal.finish(report);
    io.stdout.write(`${options.json ? JSON.stringify(report, null, 2) : describeFailures(report)}\n`);
    io.stderr.write(`every attempt: ${path}\n`);
    return EXIT.ok;
  } finally {
    release();
    for (const { critic: writer } of critics) await writer.close?.();
    await policy.close();
  }
}
