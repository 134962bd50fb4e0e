/** The command line as a function: arguments in, exit code out. */
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { InputError } from "../config/errors.js";
import { compareCommand } from "./commands/compare.js";
import { dashboardCommand } from "./commands/dashboard.js";
import { doctorCommand } from "./commands/doctor.js";
import { evalCommand } from "./commands/eval.js";
import { exportTensorBoardCommand } from "./commands/export-tensorboard.js";
import { failuresCommand } from "./commands/failures.js";
import { presetsCommand } from "./commands/presets.js";
import { sampleCommand } from "./commands/sample.js";
import { schemaCommand } from "./commands/schema.js";
import { serveCommand } from "./commands/serve.js";
import { sftCommand } from "./commands/sft.js";
import { trainCommand } from "./commands/train.js";
import { verifyCommand } from "./commands/verify.js";
import { type CliIo, EXIT, processIo } from "./io.js";

const HELP = `
Getting started:
  critique-grpo doctor                       does it work on this machine?
  critique-grpo train run.yaml --dry-run     check a configuration, spend nothing
  critique-grpo train run.yaml               train; Ctrl-C stops with a checkpoint
  critique-grpo train --resume runs/x        go on, to the same weights as without interruption
  critique-grpo dashboard runs                look at runs in the browser
  critique-grpo eval runs/x                  measure the trained model on its held-out questions
  critique-grpo compare runs/x runs/y        runs side by side, as a table and as plots
  critique-grpo sample --model runs/x/model "What is 17 * 23?"
  critique-grpo serve --model runs/x/model   the model behind the Tinker and OpenAI routes

"critique-grpo <command> --help" shows the options and examples of a command.

Exit codes: 0 done, 1 a run failed, 2 wrong arguments, configuration, data or model, 130 stopped by Ctrl-C.`;

/** Runs a command; never throws. Everything printed goes to `io`. */
export async function main(argv: readonly string[], io: CliIo = processIo()): Promise<number> {
  let code: number = EXIT.ok;
  const finish = (result: number) => {
    code = result;
  };
  const program = new Command("critique-grpo")
    .description(
      "Critique-GRPO: reinforcement learning of language models with numerical and natural-language feedback",
    )
    .version(packageVersion())
    .addHelpText("after", HELP);
  for (const create of [
    trainCommand,
    sftCommand,
    sampleCommand,
    evalCommand,
    failuresCommand,
    compareCommand,
    dashboardCommand,
    serveCommand,
    verifyCommand,
    exportTensorBoardCommand,
    doctorCommand,
    presetsCommand,
    schemaCommand,
  ]) {
    program.addCommand(create(io, finish));
  }
  for (const command of [program, ...program.commands]) {
    command
      .exitOverride()
      .showHelpAfterError(
        `(${command === program ? "critique-grpo" : `critique-grpo ${command.name()}`} --help shows what there is)`,
      )
      .configureOutput({
        writeOut: (text) => void io.stdout.write(text),
        writeErr: (text) => void io.stderr.write(text),
      });
  }
  try {
    await program.parseAsync([...argv], { from: "user" });
    return code;
  } catch (error) {
    return reportError(error, io, argv.includes("--debug"));
  }
}

function reportError(error: unknown, io: CliIo, debug: boolean): number {
  // commander has printed its message; help and version are no errors.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  if (error instanceof Error && error.name === "AbortError") return EXIT.interrupted;
  const message = error instanceof Error ? error.message : String(error);
  io.stderr.write(`error: ${message}\n`);
  if (debug && error instanceof Error) {
    io.stderr.write(`${error.stack ?? ""}\n`);
    if (error.cause instanceof Error) io.stderr.write(`caused by: ${error.cause.stack ?? error.cause.message}\n`);
  }
  return error instanceof InputError ? EXIT.usage : EXIT.failure;
}

function packageVersion(): string {
  const manifest = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}
