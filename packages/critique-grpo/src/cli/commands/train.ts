import { mkdir } from "node:fs/promises";
import { basename } from "node:path";
import type { Command } from "commander";
import { stringify } from "yaml";
import { ConfigError, InputError } from "../../config/errors.js";
import type { ConfigSource } from "../../config/load.js";
import { loadRunConfig } from "../../config/run.js";
import { type RunningDashboard, startDashboard } from "../../dashboard/index.js";
import { planMemory } from "../../policy/memory-plan.js";
import { planRemoteRun } from "../../setup/plan.js";
import { openConfiguredPolicy, prepareRun } from "../../setup/prepare.js";
import { checkCapabilities, checkCritic, checkQuestions } from "../../trainer/check.js";
import { train } from "../../trainer/train.js";
import { type CliIo, EXIT } from "../io.js";
import { formatCount } from "../output/format.js";
import { describeModel, describePlan } from "../output/plan.js";
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
    .option("--dashboard", "look at the run in the browser while it goes: prints the address")
    .addHelpText("after", EXAMPLES)
    .action(async (config: string | undefined, options: TrainOptions) => finish(await runTrain(io, config, options)));
}

interface TrainOptions extends RunOptions {
  readonly dashboard?: boolean;
}

async function runTrain(io: CliIo, configArgument: string | undefined, options: TrainOptions): Promise<number> {
  const target = runTarget(configArgument, options);
  const presetOverride = options.preset === undefined ? [] : [`preset=${options.preset}`];
  const source = { file: target.file, overrides: [...presetOverride, ...(options.set ?? [])] };
  const { config, missing } = options.dryRun ? loadForDryRun(source) : loadRunConfig(source);
  const runDirectory = target.runDirectory ?? config.runDirectory ?? defaultRunDirectory(target.file);
  if (target.resume && target.runDirectory === undefined && config.runDirectory === undefined) {
    throw new InputError("--resume needs the run to continue, e.g. --resume runs/my-run");
  }
  if (options.dryRun && config.engine.type === "tinker") {
    // Nothing is sent: neither network nor key is needed.
    const { run, info, unchecked } = await planRemoteRun({ ...config, engine: config.engine }, missing);
    for (const warning of run?.warnings ?? []) io.stdout.write(`warning: ${warning}\n`);
    const notes = ["Not checked:", ...unchecked.map((text) => `  ${text}`)].join("\n");
    io.stdout.write(`\n${stringify(config)}\n${describePlan(config, run, info, runDirectory)}\n${notes}\n`);
    return EXIT.ok;
  }
  // Aborting is possible from here on: loading a large model takes a while.
  const { signal, release } = io.interruption();
  const progress = createProgress({ stream: io.stdout, title: `critique-grpo train · ${runDirectory}` });
  let dashboard: RunningDashboard | undefined;
  try {
    progress.note("reading data …");
    const run = await prepareRun(config);
    for (const warning of run.warnings) progress.note(`warning: ${warning}`);
    const { sampling, refinement } = config;
    const longest = run.longestPrompt + Math.max(sampling.maxTokens, refinement.maxTokens ?? 0);
    const memory = await planMemory(config.engine, {
      longest,
      sampling: { sequences: config.questionsPerStep * Math.max(1, config.algorithm.initialResponses), longest },
      reference: config.algorithm.klCoefficient > 0,
    });
    progress.note(`${formatCount(run.questions.length)} questions; loading the model …`);
    const policy = await openConfiguredPolicy(config, (message) => progress.note(message));
    try {
      if (options.dryRun) {
        checkCapabilities(config, policy.info);
        checkCritic(config, run.critic);
        checkQuestions(run.questions, run.codec, config, policy.info);
        io.stdout.write(`\n${stringify(config)}\n${describePlan(config, run, policy.info, runDirectory, memory)}\n`);
        return EXIT.ok;
      }
      progress.note(`${describeModel(policy.info)}; run directory ${runDirectory}`);
      if (options.dashboard) {
        dashboard = await openDashboard(runDirectory, (message) => progress.note(message));
      }
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
    await dashboard?.close();
    progress.close();
    release();
  }
}

/** The address leads to the run, which appears with its first status. */
async function openDashboard(runDirectory: string, note: (message: string) => void): Promise<RunningDashboard> {
  await mkdir(runDirectory, { recursive: true });
  const dashboard = await startDashboard({ runs: runDirectory, onNotice: note });
  note(`Dashboard, while this run goes on: ${dashboard.url}#/run/${encodeURIComponent(basename(runDirectory))}`);
  return dashboard;
}

/** Where the model is on a server, a plan can be made on a machine that has neither data nor tokenizer. */
function loadForDryRun(source: ConfigSource) {
  try {
    return loadRunConfig(source);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const loaded = loadRunConfig({ ...source, allowMissing: true });
    if (loaded.config.engine.type === "tinker") return loaded;
    throw error;
  }
}
