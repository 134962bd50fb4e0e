/**
 * Makes a run directory of the size of a long run, line by line as training would have written it:
 *   node benchmarks/dashboard/make-run.mjs DIRECTORY [--steps 10000] [--questions 32] [--gigabytes 5]
 * Values follow a plausible course; texts are numbers and formulas. Nothing in it is a result.
 */
import { createWriteStream, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    steps: { type: "string", default: "10000" },
    questions: { type: "string", default: "32" },
    gigabytes: { type: "string", default: "5" },
  },
});
const [directory] = positionals;
if (directory === undefined) throw new Error("name the directory to make");
const steps = Number(values.steps);
const questions = Number(values.questions);
/** Of the data set. */
const PROBLEMS = 20_000;
const RESPONSES = 7;
const responseTokens = tokensFor((Number(values.gigabytes) * 2 ** 30) / (steps * questions));

/** Tokens a response so that a line has about this many bytes: an id, a log-probability and a piece of text each. */
function tokensFor(lineBytes) {
  return Math.max(1, Math.round((lineBytes - 1200) / (RESPONSES + 2) / 17));
}

let state = 1;
function random() {
  state = (state * 1664525 + 1013904223) % 2 ** 32;
  return state / 2 ** 32;
}

/** A response's arrays and text are cut from one long strip: making them anew would take most of the time. */
const strip = Array.from({ length: 50_000 }, () => ({
  id: Math.floor(random() * 150_000),
  logprob: -Number((random() ** 4 * 6).toFixed(4)),
}));
const stripText = strip.map(({ id }) => ["let ", "so ", "x ", "= ", "7 "][id % 5]).join("");

function response(index, correct) {
  const start = Math.floor(random() * (strip.length - responseTokens));
  const part = strip.slice(start, start + responseTokens);
  return {
    index,
    text: `${stripText.slice(start, start + 4 * responseTokens)} \\boxed{${correct ? 42 : 41}}`,
    tokens: part.map(({ id }) => id),
    logprobs: part.map(({ logprob }) => logprob),
    stopReason: random() < 0.05 ? "length" : "stop",
    policyVersion: 0,
    reward: { value: correct ? 1 : 0, correct, parts: { math: correct ? 1 : 0 } },
    kept: true,
    advantage: correct ? 0.5 : -0.5,
  };
}

function record(step, progress) {
  const problem = Math.floor(random() * PROBLEMS);
  const ability = Math.min(0.95, 0.2 + 0.6 * progress + 0.3 * (((problem * 7919) % 100) / 100 - 0.5));
  const initial = Array.from({ length: RESPONSES }, (_, index) => ({
    ...response(index, random() < ability),
    critique: {
      kind: "self",
      text: `Look at $x_{${index}}$ again. Conclusion: wrong [END]`,
      verdict: "wrong",
      agreement: random() < 0.8,
      leak: random() < 0.02,
      latencyMs: 200 + 900 * random(),
    },
  }));
  const refinements = initial
    .slice(0, 2)
    .map(({ index }) => ({ ...response(index, random() < ability + 0.2), refines: index, promptTokens: 900 }));
  return {
    schemaVersion: 1,
    step,
    question: {
      id: `train#${problem}`,
      dataSource: "math",
      text: `Problem ${problem}: find $x$ with $x^2 = ${problem}$.`,
      prompt: "…",
      gold: "42",
    },
    promptTokens: [1, 2, 3],
    initial,
    refinements,
  };
}

const KEYS = [
  "reward",
  "initial_accuracy",
  "reward/group_mean",
  "refinement/accuracy",
  "refinement/kept_accuracy",
  "refinement/fix_rate",
  "refinement/break_rate",
  "entropy",
  "kl",
  "loss",
  "grad_norm",
  "completions/mean_length",
  "refinement/mean_length",
  "refinement/gradient_share",
  "refinement/token_share",
  "refinement/mean_probability",
  "refinement/shaped_probability",
  "frac_reward_zero_std",
  "completions/clipped_ratio",
  "tokens/generated",
  "tokens/trained",
  "seconds/step",
  "seconds/sample",
  "seconds/refine",
  "seconds/critique",
  "seconds/reward",
  "seconds/update",
  "critique/agreement",
  "critique/leak_rate",
  "critique/count",
  "critique/failures",
];

mkdirSync(join(directory, "rollouts"), { recursive: true });
writeFileSync(join(directory, "config.yaml"), `steps: ${steps}\nalgorithm: { shaping: { type: ratio, gamma: 0.1 } }\n`);
const metrics = createWriteStream(join(directory, "metrics.jsonl"));
let bytes = 0;
for (let step = 1; step <= steps; step++) {
  const progress = step / steps;
  const values = Object.fromEntries(
    KEYS.map((key, i) => [
      key,
      Math.max(0, 0.3 + 0.5 * progress + 0.15 * (random() - 0.5) + 0.05 * Math.sin(i + step / 300)),
    ]),
  );
  metrics.write(
    `${JSON.stringify({ schemaVersion: 1, step, time: new Date(1.7e12 + step * 30_000).toISOString(), ...values })}\n`,
  );
  const lines = Array.from({ length: questions }, () => `${JSON.stringify(record(step, progress))}\n`).join("");
  bytes += lines.length;
  writeFileSync(join(directory, "rollouts", `step-${String(step).padStart(6, "0")}.jsonl`), lines);
}
await new Promise((resolve) => metrics.end(resolve));
const time = new Date().toISOString();
const status = {
  schemaVersion: 1,
  state: "finished",
  task: "train",
  step: steps,
  steps,
  phase: null,
  pid: 1,
  host: "made",
  startedAt: time,
  heartbeatAt: time,
};
writeFileSync(join(directory, "status.json"), JSON.stringify(status));
console.log(
  `${directory}: ${steps} steps, ${steps * questions} groups, ${(bytes / 2 ** 30).toFixed(2)} GiB of rollouts`,
);
