import { basename, join, resolve } from "node:path";
import type { Command } from "commander";
import { InputError } from "../../config/errors.js";
import { exportTensorBoard, TENSORBOARD_DIRECTORY } from "../../sinks/tensorboard/tensorboard.js";
import { type CliIo, EXIT } from "../io.js";
import { newCommand } from "./common.js";

const EXAMPLES = `
Examples:
  critique-grpo export-tensorboard runs/x            writes runs/x/tensorboard
  critique-grpo export-tensorboard runs/* --out board
  tensorboard --logdir runs                          shows them (from PyPI)

A run writes them by itself with "logging: { tensorboard: true }"; docs/metrics.md tells how
Weights & Biases gets them.`;

export function exportTensorBoardCommand(io: CliIo, finish: (code: number) => void): Command {
  return newCommand("export-tensorboard", "write the metrics of runs as TensorBoard event files")
    .argument("<runs...>", "run directories")
    .option("--out <directory>", "one directory a run goes below this one (default: tensorboard/ in the run)")
    .addHelpText("after", EXAMPLES)
    .action(async (runs: string[], options: { out?: string }) => finish(await runExport(io, runs, options.out)));
}

async function runExport(io: CliIo, runs: readonly string[], out: string | undefined): Promise<number> {
  const names = runs.map((run) => basename(resolve(run)));
  const repeated = names.find((name, index) => names.indexOf(name) !== index);
  if (out !== undefined && repeated !== undefined) {
    throw new InputError(`two runs are called ${repeated}; export them to different directories`);
  }
  for (const [index, run] of runs.entries()) {
    const directory = out === undefined ? join(run, TENSORBOARD_DIRECTORY) : join(out, names[index]!);
    const path = await exportTensorBoard(run, directory).catch((error: Error) => {
      throw new InputError(error.message, { cause: error });
    });
    io.stdout.write(`${path}\n`);
  }
  return EXIT.ok;
}
