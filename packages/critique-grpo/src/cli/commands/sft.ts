import type { Command } from "commander";
import { stringify } from "yaml";
import { InputError } from "../../config/errors.js";
import { loadConfig } from "../../config/load.js";
import { sftSchema } from "../../config/sft-schema.js";
import { describeMemory, planMemory } from "../../policy/memory-plan.js";
import { plannedTinkerInfo } from "../../policy/tinker-open.js";
import { openConfiguredPolicy, tokenizerDirectoryOf } from "../../setup/prepare.js";
import { encodePair, loadPairs } from "../../sft/pairs.js";
import { sft } from "../../sft/sft.js";
import { loadTextCodec } from "../../text/codec.js";
import { checkOptimizer } from "../../trainer/check.js";
import { type CliIo, EXIT } from "../io.js";
import { formatCount } from "../output/format.js";
import { createProgress } from "../output/progress.js";
import { addRunOptions, defaultRunDirectory, newCommand, type RunOptions, runTarget } from "./common.js";

const EXAMPLES = `
Examples:
  critique-grpo sft warm-up.yaml
  critique-grpo sft warm-up.yaml --set steps=200 --run-directory runs/warm-up
  critique-grpo sft --resume runs/warm-up

A minimal warm-up.yaml (rows of pairs.jsonl: {"prompt": "…", "response": "…"}):
  engine: { type: embedded, model: path/to/model }
  data: { files: pairs.jsonl }
  steps: 200

Every key: critique-grpo schema --sft --markdown`;

export function sftCommand(io: CliIo, finish: (code: number) => void): Command {
  return addRunOptions(newCommand("sft", "supervised fine-tuning on prompts and responses, for warm-ups"))
    .argument("[config]", "YAML file; with --resume default: the one of the run")
    .addHelpText("after", EXAMPLES)
    .action(async (config: string | undefined, options: RunOptions) => finish(await runSft(io, config, options)));
}

async function runSft(io: CliIo, configArgument: string | undefined, options: RunOptions): Promise<number> {
  const target = runTarget(configArgument, options);
  const { config } = loadConfig({ schema: sftSchema }, { file: target.file, overrides: options.set ?? [] });
  const runDirectory = target.runDirectory ?? config.runDirectory ?? defaultRunDirectory(target.file);
  if (target.resume && target.runDirectory === undefined && config.runDirectory === undefined) {
    throw new InputError("--resume needs the run to continue, e.g. --resume runs/warm-up");
  }
  const { signal, release } = io.interruption();
  const progress = createProgress({ stream: io.stdout, title: `critique-grpo sft · ${runDirectory}` });
  try {
    progress.note("reading data …");
    const tokenizerDirectory = tokenizerDirectoryOf(config);
    const codec = loadTextCodec(tokenizerDirectory);
    const pairs = (await loadPairs(config.data)).map((pair) => encodePair(codec, pair));
    const longest = pairs.reduce((most, { prompt, response }) => Math.max(most, prompt.length + response.length), 0);
    const memory = await planMemory(config.engine, { longest });
    const plan = () =>
      `\n${stringify(config)}\nPlan (nothing was started): ${formatCount(config.steps)} steps of ${formatCount(config.batchSize)} pairs into ${runDirectory}${memory ? `, ${describeMemory(memory)}` : ""}\n`;
    if (options.dryRun && config.engine.type === "tinker") {
      // Nothing is sent: neither network nor key is needed.
      checkOptimizer(config.optimizer, plannedTinkerInfo(config.engine));
      io.stdout.write(plan());
      return EXIT.ok;
    }
    progress.note(`${formatCount(pairs.length)} pairs; loading the model …`);
    const policy = await openConfiguredPolicy(config, (message) => progress.note(message));
    try {
      if (options.dryRun) {
        io.stdout.write(plan());
        return EXIT.ok;
      }
      const result = await sft({
        ...{ config, policy, pairs, tokenizerDirectory, runDirectory, signal },
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
