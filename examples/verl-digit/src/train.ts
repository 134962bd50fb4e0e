/**
 * The whole example: `node dist/train.js [run directory]`. Prepares, trains the three stages with the CLI, and says how
 * long it took and what mean reward was reached; exits with 1 below 0.8.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { prepareQuestions, prepareTokenizer } from "./prepare.js";

const EXAMPLE = resolve(import.meta.dirname, "..");
const MODEL = resolve(EXAMPLE, "../../../shared/data/verl-digit-completion");
const WANTED_REWARD = 0.8;
/** The reward of a step is the mean of 64 questions: the last ones together are a steadier figure. */
const LAST_STEPS = 10;

const output = resolve(process.argv[2] ?? join(EXAMPLE, "../../runs/verl-digit"));
const cli = join(fileURLToPath(import.meta.resolve("critique-grpo")), "../cli/main.js");
const started = performance.now();

function train(config: string, runDirectory: string, ...overrides: string[]): void {
  const sets = [`tokenizer.path=${join(output, "tokenizer")}`, ...overrides].flatMap((override) => ["--set", override]);
  const argv = [cli, "train", join(EXAMPLE, config), "--run-directory", join(output, runDirectory), ...sets];
  const { status } = spawnSync(process.execPath, argv, { stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}

prepareTokenizer(MODEL, join(output, "tokenizer"));
await prepareQuestions(MODEL, output);
const from = (stage: string) => `engine.model=${join(output, stage, "model")}`;
train("next-number.yaml", "next-number", `data.files=${join(output, "next-number.jsonl")}`);
train("next-token.yaml", "next-token", `data.files=${join(output, "next-token.jsonl")}`, from("next-number"));
train("whole-answer.yaml", "whole-answer", from("next-token"));

const rewards = readFileSync(join(output, "whole-answer/metrics.jsonl"), "utf8")
  .trim()
  .split("\n")
  .slice(-LAST_STEPS)
  .map((line) => (JSON.parse(line) as { reward: number }).reward);
const reward = rewards.reduce((sum, value) => sum + value, 0) / rewards.length;
const minutes = (performance.now() - started) / 60_000;
console.log(
  `mean reward of the last ${rewards.length} steps: ${reward.toFixed(3)} (verl passes at 0.2), after ${minutes.toFixed(1)} minutes`,
);
if (reward < WANTED_REWARD) process.exitCode = 1;
