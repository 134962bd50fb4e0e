import type { Command } from "commander";
import { stringify } from "yaml";
import { InputError } from "../../config/errors.js";
import { loadRunConfig } from "../../config/run.js";
import type { RunConfig } from "../../config/schema.js";
import type { PolicyInfo } from "../../policy/policy.js";
import { openConfiguredPolicy, type PreparedRun, prepareRun } from "../../setup/prepare.js";
import { checkCapabilities, checkCritic, checkQuestions } from "../../trainer/check.js";
import { train } from "../../trainer/train.js";
import { type CliIo, EXIT } from "../io.js";
import { formatCount } from "../output/format.js";
import { createProgress } from "../output/progress.js";
import { addRunOptions, defaultRunDirectory, newCommand, type RunOptions, runTarget } from "./common.js";

const EXAMPLES = `
Examples:
  critique-grpo train run.yaml
  critique-grpo train run.yaml --set steps=20 --set optimizer.learningRate=1e-4
  critique-grpo train run.yaml --preset critique-grpo --dry-run
  critique-grpo train --resume runs/run-20260101-120000

Every key of the YAML: docs/configuration.md, or "critique-grpo schema". A minimal run.yaml:
  preset: critique-grpo
  engine: { type: embedded, model: path/to/model }
  data: { files: questions.jsonl }
  steps: 100
  reward: { functions: [{ name: exact-match, options: { answer: boxed } }] }

Ctrl-C ends the run with a checkpoint; a second Ctrl-C ends it at once (the newest checkpoint stays good).`;

export function trainCommand(io: CliIo, finish: (code: number) => void): Command {
  return addRunOptions(newCommand("train", "train a model on questions with GRPO, Dr. GRPO or Critique-GRPO"))
    .argument("[config]", "YAML file; with --resume default: the one of the run")
    .option("--preset <name>", "named defaults, see: critique-grpo presets")
    .addHelpText("after", EXAMPLES)
    .action(async (config: string | undefined, options: RunOptions) => finish(await runTrain(io, config, options)));
}

async function runTrain(io: CliIo, configArgument: string | undefined, options: RunOptions): Promise<number> {
  const target = runTarget(configArgument, options);
  const presetOverride = options.preset === undefined ? [] : [`preset=${options.preset}`];
  const { config } = loadRunConfig({ file: target.file, overrides: [...presetOverride, ...(options.set ?? [])] });
  const runDirectory = target.runDirectory ?? config.runDirectory ?? defaultRunDirectory(target.file);
  if (target.resume && target.runDirectory === undefined && config.runDirectory === undefined) {
    throw new InputError("--resume needs the run to continue, e.g. --resume runs/my-run");
  }
  // Aborting is possible from here on: loading a large model takes a while.
  const { signal, release } = io.interruption();
  const progress = createProgress({ stream: io.stdout, title: `critique-grpo train · ${runDirectory}` });
  try {
    progress.note("reading data …");
    const run = await prepareRun(config);
    for (const warning of run.warnings) progress.note(`warning: ${warning}`);
    progress.note(`${formatCount(run.questions.length)} questions; loading the model …`);
    const policy = await openConfiguredPolicy(config);
    try {
      if (options.dryRun) {
        checkCapabilities(config, policy.info);
        checkCritic(config, run.critic);
        checkQuestions(run.questions, run.codec, config, policy.info);
        io.stdout.write(`\n${stringify(config)}\n${describePlan(run, policy.info, runDirectory)}\n`);
        return EXIT.ok;
      }
      progress.note(
        `${formatCount(policy.info.parameterCount)} parameters on ${policy.info.device}; run directory ${runDirectory}`,
      );
      const { questions, codec, rewards, critic, evaluate, tokenizerDirectory } = run;
      const result = await train({
        ...{ config, policy, questions, codec, rewards, critic, evaluate, tokenizerDirectory, runDirectory, signal },
        resume: target.resume,
        sinks: [progress.sink],
      });
      return result.interrupted ? EXIT.interrupted : EXIT.ok;
    } finally {
      await policy.close();
    }
  } finally {
    progress.close();
    release();
  }
}

/** What the run would do, in numbers. */
function describePlan(
  { config, questions, longestPrompt, evaluationQuestions }: PreparedRun,
  info: PolicyInfo,
  runDirectory: string,
): string {
  const { steps, questionsPerStep, miniBatches, algorithm, refinement, sampling, evaluation, checkpoint } = config;
  const responses = algorithm.initialResponses + (refinement.count > 0 ? algorithm.initialResponses : 0);
  const tokens =
    questionsPerStep *
    (algorithm.initialResponses * sampling.maxTokens +
      (refinement.count > 0 ? algorithm.initialResponses : 0) * (refinement.maxTokens ?? sampling.maxTokens));
  const rows: [string, string][] = [
    [
      "model",
      `${info.model}: ${formatCount(info.parameterCount)} parameters on ${info.device}, context ${formatCount(info.contextLength)}`,
    ],
    ["data", `${formatCount(questions.length)} questions, longest prompt ${formatCount(longestPrompt)} tokens`],
    [
      "steps",
      `${formatCount(steps)} of ${formatCount(questionsPerStep)} questions: ${epochs(config, questions.length)} passes over the data`,
    ],
    ["responses", `at most ${formatCount(questionsPerStep * responses)} a step, ${formatCount(tokens)} tokens a step`],
    [
      "optimizer",
      `${formatCount(steps * miniBatches)} steps, ${config.optimizer.schedule} learning rate up to ${config.optimizer.learningRate}`,
    ],
    [
      "critique",
      refinement.count > 0 ? `${config.critique.type}, ${refinement.count} refinement(s) kept a question` : "none",
    ],
    [
      "evaluation",
      evaluationQuestions.length === 0
        ? "none"
        : `${formatCount(evaluationQuestions.length)} questions × ${evaluation.samples}, ${evaluation.every === 0 ? "before and after" : `every ${evaluation.every} steps`}`,
    ],
    [
      "checkpoints",
      checkpoint.every === 0 ? "at the end and on Ctrl-C" : `every ${checkpoint.every} steps, ${checkpoint.keep} kept`,
    ],
    ["run directory", runDirectory],
  ];
  const widest = Math.max(...rows.map(([name]) => name.length));
  return ["Plan (nothing was started):", ...rows.map(([name, text]) => `  ${name.padEnd(widest)}  ${text}`)].join("\n");
}

function epochs({ steps, questionsPerStep }: RunConfig, questions: number): string {
  return ((steps * questionsPerStep) / questions).toFixed(2);
}
