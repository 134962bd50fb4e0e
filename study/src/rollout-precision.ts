#!/usr/bin/env node
/**
 * What int8 rollouts do to learning: `npm run study:precision -- [SEEDS]` trains methods of the study on the warm-ups of its
 * first seeds, with rollouts in float32 and in int8 with and without a correction, at equal steps, and prints the table of
 * docs/rollout-precision.md. About a minute of one core a seed, warm-ups apart.
 */
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import {
  type EvaluationSummary,
  type EventSink,
  openPolicy,
  prepareRun,
  type StepMetrics,
  tInterval,
  train,
} from "critique-grpo";
import { type Cell, cellConfig, readLeftOut } from "./cell.js";
import { families } from "./families/index.js";
import type { FamilyName } from "./family.js";
import { methodNamed } from "./methods.js";
import { prepareGround } from "./seed-ground.js";

const STUDY = fileURLToPath(new URL("..", import.meta.url));
/** Warm-ups, shared with the study; not committed. */
const ROOT = resolve(STUDY, "..", "runs", "study");
/** Of the study: they tell which seeds it has left out. */
const RESULTS = resolve(STUDY, "results");
const FIRST_SEED = 101;
const DEFAULT_SEEDS = 5;

const METHODS: readonly (readonly [FamilyName, string])[] = [
  ["operations", "dr-grpo"],
  ["operations", "critique-grpo-text"],
];

/** Names of rollouts and what is set for them. */
const ROLLOUTS = {
  float32: [],
  "int8, corrected": ["engine.rolloutPrecision=int8", "algorithm.samplerCorrection={ cap: 2 }"],
  int8: ["engine.rolloutPrecision=int8"],
} as const satisfies Record<string, readonly string[]>;
type Rollouts = keyof typeof ROLLOUTS;

/** Of one run; fractions, but for KL (nats) and ratios. */
interface Outcome {
  /** Held-out accuracy, greedy: at the end, and the mean of all evaluations after the first. */
  readonly last: number;
  readonly meanOfRun: number;
  readonly logprobDifference: number;
  readonly kl: number;
  readonly largestRatio: number;
  readonly clipped: number;
}

async function outcomeOf(cell: Cell): Promise<Outcome> {
  const config = cellConfig(cell, ROOT);
  const { codec, questions, rewards, critic, evaluate } = await prepareRun(config);
  const policy = await openPolicy(config.engine);
  const steps: StepMetrics[] = [];
  const accuracies: number[] = [];
  const sink: EventSink = (event) => {
    if (event.type === "step-finished") steps.push(event.metrics);
    // The configurations evaluate greedily, one response a question.
    if (event.type === "evaluation") accuracies.push((event.result as unknown as EvaluationSummary).pass1.value);
  };
  try {
    await train({
      config: { ...config, runDirectory: undefined },
      policy,
      codec,
      questions,
      rewards,
      critic,
      evaluate,
      sinks: [sink],
    });
  } finally {
    await policy.close();
  }
  const meanOf = (key: string) => mean(steps.map((metrics) => metrics[key] ?? Number.NaN));
  return {
    last: accuracies.at(-1)!,
    meanOfRun: mean(accuracies.slice(1)),
    logprobDifference: meanOf("sampling/logp_difference"),
    kl: meanOf("sampling/kl"),
    largestRatio: Math.max(...steps.map((metrics) => metrics["sampling/importance_ratio_max"] ?? Number.NaN)),
    clipped: meanOf("clip_ratio/low_mean") + meanOf("clip_ratio/high_mean"),
  };
}

/** The first seeds whose warm-up converged. */
async function usableSeeds(family: FamilyName, count: number): Promise<readonly number[]> {
  const found: number[] = [];
  for (let seed = FIRST_SEED; found.length < count; seed++) {
    if ((await readLeftOut(RESULTS, families[family], seed)) !== null) continue;
    const { gate } = await prepareGround(ROOT, families[family], seed);
    if (gate.passed) found.push(seed);
  }
  return found;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

const percent = (fraction: number) => `${(100 * fraction).toFixed(1)} %`;

/** Difference to float32 on the same seeds, in percentage points, and half of its 95 % t-interval. */
function difference(outcomes: readonly Outcome[], float32: readonly Outcome[], key: "last" | "meanOfRun"): string {
  const { value, high } = tInterval(outcomes.map((outcome, index) => 100 * (outcome[key] - float32[index]![key])));
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(1)} ± ${(high - value).toFixed(1)}`;
}

function row(title: string, rollouts: Rollouts, all: Readonly<Record<Rollouts, readonly Outcome[]>>): string {
  const outcomes = all[rollouts];
  const average = (key: keyof Outcome) => mean(outcomes.map((outcome) => outcome[key]));
  const columns = [
    title,
    rollouts,
    percent(average("last")),
    outcomes.map(({ last }) => (100 * last).toFixed(0)).join(" "),
    percent(average("meanOfRun")),
    ...(rollouts === "float32"
      ? ["", ""]
      : [difference(outcomes, all.float32, "last"), difference(outcomes, all.float32, "meanOfRun")]),
    average("logprobDifference").toExponential(1),
    // Counted where there is a correction.
    ...(rollouts === "int8, corrected"
      ? [average("kl").toExponential(1), Math.max(...outcomes.map(({ largestRatio }) => largestRatio)).toFixed(2)]
      : ["", ""]),
    `${(100 * average("clipped")).toFixed(2)} %`,
  ];
  return `| ${columns.join(" | ")} |`;
}

const seeds = Number(process.argv[2] ?? DEFAULT_SEEDS);
if (!Number.isInteger(seeds) || seeds < 1)
  throw new Error(`SEEDS is ${process.argv[2]}; it must be a number from 1 on`);
const HEADINGS = [
  ...["method", "rollouts", "greedy at the end", "by seed", "mean of the run", "difference at the end", "of the run"],
  ...["abs(log π − log μ)", "KL(μ ‖ π)", "largest π / μ", "clipped"],
];
console.log(`| ${HEADINGS.join(" | ")} |`);
console.log(`|${" --- |".repeat(HEADINGS.length)}`);
for (const [familyName, methodName] of METHODS) {
  const outcomes: Record<Rollouts, Outcome[]> = { float32: [], "int8, corrected": [], int8: [] };
  for (const seed of await usableSeeds(familyName, seeds)) {
    for (const [rollouts, overrides] of Object.entries(ROLLOUTS) as [Rollouts, readonly string[]][]) {
      const method = { ...methodNamed(methodName), overrides: () => overrides };
      const outcome = await outcomeOf({ family: families[familyName], method, seed });
      console.error(`${familyName} ${methodName} ${seed}, ${rollouts}: ${JSON.stringify(outcome)}`);
      outcomes[rollouts].push(outcome);
    }
  }
  for (const rollouts of Object.keys(ROLLOUTS) as Rollouts[])
    console.log(row(`${familyName}, ${methodName}`, rollouts, outcomes));
}
