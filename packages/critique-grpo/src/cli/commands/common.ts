/** Options that several commands share. */
import { readFileSync } from "node:fs";
import { basename, dirname, extname, join, resolve } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { InputError } from "../../config/errors.js";
import type { RunConfig } from "../../config/schema.js";

export function collect(value: string, previous: readonly string[] = []): string[] {
  return [...previous, value];
}

export function parseNumber(minimum: number, integer: boolean): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isFinite(value) || value < minimum || (integer && !Number.isInteger(value))) {
      throw new InvalidArgumentError(`It must be ${integer ? "a whole" : "a"} number of at least ${minimum}.`);
    }
    return value;
  };
}

/** Where a model is computed, as engine.device. */
const devices = ["auto", "cpu", "webgpu", "cuda"] as const;
export type Device = (typeof devices)[number];

export function deviceOption(): Option {
  return new Option("--device <name>", "what computes (default: auto, the CPU)").choices(devices);
}

export function addConfigOptions(command: Command): Command {
  return command.option(
    "--set <key=value>",
    "override a key of the YAML, e.g. --set sampling.temperature=0.8; may be repeated",
    collect,
  );
}

export function addRunOptions(command: Command): Command {
  return addConfigOptions(command)
    .option("--run-directory <directory>", "where the run is written (default: runs/<name of the YAML>-<time>)")
    .option(
      "--resume [directory]",
      "continue the run in this directory (default: --run-directory) from its newest checkpoint, to the same weights as without interruption",
    )
    .option("--dry-run", "check everything, print the resolved configuration and the plan, spend nothing");
}

export interface RunOptions {
  readonly set?: readonly string[];
  readonly preset?: string;
  readonly runDirectory?: string;
  readonly resume?: string | true;
  readonly dryRun?: boolean;
}

export interface RunTarget {
  /** The YAML to read. */
  readonly file: string;
  /** Undefined: the configuration's own, else a new one. */
  readonly runDirectory: string | undefined;
  readonly resume: boolean;
}

/**
 * Which YAML and which run directory the arguments mean: `run.yaml`, `run.yaml --resume DIR`, `--resume DIR` (the
 * configuration is then the one the run was started with).
 */
export function runTarget(config: string | undefined, options: RunOptions): RunTarget {
  const resume = options.resume !== undefined;
  let file = config;
  let named = typeof options.resume === "string" ? options.resume : options.runDirectory;
  if (file === undefined && named !== undefined && /\.ya?ml$/i.test(named)) {
    // `--resume run.yaml`: the option took the argument for its directory.
    file = named;
    named = options.runDirectory;
  }
  if (typeof options.resume === "string" && options.runDirectory !== undefined && named !== options.runDirectory) {
    throw new InputError(
      `--resume ${options.resume} and --run-directory ${options.runDirectory} name two runs; give one`,
    );
  }
  if (file === undefined) {
    if (!resume) throw new InputError("no configuration; name a YAML file, e.g. critique-grpo train run.yaml");
    if (named === undefined) throw new InputError("--resume needs the run to continue, e.g. --resume runs/my-run");
    file = join(named, "config.yaml");
  }
  return { file, runDirectory: named === undefined ? undefined : resolve(named), resume };
}

/** runs/<name>-<time>, in the current directory; the name of config.yaml is that of its directory. */
export function defaultRunDirectory(file: string, now = new Date()): string {
  const stem = basename(file, extname(file));
  const name = stem === "config" ? basename(dirname(resolve(file))) : stem;
  const two = (value: number) => String(value).padStart(2, "0");
  const day = `${now.getFullYear()}${two(now.getMonth() + 1)}${two(now.getDate())}`;
  return resolve("runs", `${name}-${day}-${two(now.getHours())}${two(now.getMinutes())}${two(now.getSeconds())}`);
}

export function readTextFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new InputError(`${path}: cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

export function newCommand(name: string, summary: string): Command {
  return new Command(name).description(summary).option("--debug", "print the stack of errors");
}

/** `a,b=FILE`. */
export function parseBenchmarks(texts: readonly string[]): RunConfig["evaluation"]["benchmarks"] {
  return texts
    .flatMap((text) => text.split(","))
    .map((text) => text.trim())
    .filter((text) => text !== "")
    .map((text) => {
      const separator = text.indexOf("=");
      return separator < 0 ? text : { name: text.slice(0, separator), file: text.slice(separator + 1) };
    });
}
