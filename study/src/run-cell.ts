/** Trains one cell and measures it before and after. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { type EvaluationSummary, type EventSink, openPolicy, prepareRun, type StepMetrics, train } from "critique-grpo";
import {
  type Cell,
  type CellResult,
  type CurvePoint,
  cellConfig,
  cellHash,
  type FirstLast,
  RESULT_SCHEMA_VERSION,
  type TrainingSummary,
} from "./cell.js";
import { fileHash } from "./digest.js";
import { measureModel } from "./measurement.js";
import { packageVersion } from "./package-version.js";
import { loadSeedQuestions, type SeedGround, seedPaths } from "./seed-ground.js";

/** Share of the steps that "first" and "last" stand for. */
const PART = 0.2;

/** @param root where seeds and run directories are */
export async function runCell(cell: Cell, ground: SeedGround, root: string): Promise<CellResult> {
  const { family, method, seed } = cell;
  const paths = seedPaths(root, family, seed);
  const runDirectory = join(paths.directory, method.name);
  await rm(runDirectory, { recursive: true, force: true });
  const config = cellConfig(cell, root);
  const run = await prepareRun(config);
  const policy = await openPolicy(config.engine, { reference: config.algorithm.klCoefficient > 0 });
  try {
    const recorder = new Recorder();
    const [cpuBefore, wallBefore] = [process.cpuUsage(), performance.now()];
    const { codec, questions, rewards, critic, score, evaluate, tokenizerDirectory } = run;
    await train({
      ...{ config, policy, codec, questions, rewards, critic, evaluate, tokenizerDirectory, runDirectory },
      sinks: [recorder.sink],
    });
    const { user, system } = process.cpuUsage(cpuBefore);
    const wallSeconds = (performance.now() - wallBefore) / 1000;
    const sets = await loadSeedQuestions(paths);
    return {
      schemaVersion: RESULT_SCHEMA_VERSION,
      family: family.name,
      method: method.name,
      seed,
      hash: cellHash(cell),
      packageVersion: packageVersion(),
      node: process.version,
      weights: await fileHash(join(runDirectory, "model", "model.safetensors")),
      before: ground.before,
      after: await measureModel(family, { policy, codec, score }, sets, seed),
      curve: recorder.curve,
      training: recorder.summary(questions.length, (user + system) / 1e6, wallSeconds),
    };
  } finally {
    await policy.close();
  }
}

/** Collects from the events of a run what the report needs. */
class Recorder {
  readonly curve: CurvePoint[] = [];
  readonly #steps: StepMetrics[] = [];
  /** Training questions that were answered, and whether ever right. */
  readonly #solved = new Map<string, boolean>();

  readonly sink: EventSink = (event) => {
    if (event.type === "step-finished") {
      this.#steps.push(event.metrics);
      for (const { question, initial } of event.groups) {
        if (initial.length === 0) continue;
        const right = initial.some((response) => response.reward.correct);
        this.#solved.set(question.id, right || this.#solved.get(question.id) === true);
      }
    }
    if (event.type === "evaluation") {
      // The configurations evaluate greedily, one response a question: its pass@1 is the greedy accuracy.
      const { pass1 } = event.result as unknown as EvaluationSummary;
      const sampledTokens = this.#steps.at(-1)?.["tokens/generated_total"] ?? 0;
      this.curve.push({ step: event.step, sampledTokens, greedy: pass1.value });
    }
  };

  summary(questions: number, cpuSeconds: number, wallSeconds: number): TrainingSummary {
    const unsolved = [...this.#solved.values()].filter((right) => !right).length;
    return {
      steps: this.#steps.length,
      sampledTokens: this.#steps.at(-1)!["tokens/generated_total"]!,
      trainedTokens: this.#steps.reduce((sum, metrics) => sum + (metrics["tokens/trained"] ?? 0), 0),
      unsolved: this.#solved.size === 0 ? null : unsolved / Math.min(questions, this.#solved.size),
      entropy: this.#firstLast("entropy"),
      length: this.#firstLast("completions/mean_length"),
      groupsWithoutSignal: this.#firstLast("frac_reward_zero_std"),
      fixRate: this.#firstLast("refinement/fix_rate"),
      refinementProbability: this.#firstLast("refinement/mean_probability"),
      gradientShare: this.#firstLast("refinement/gradient_share"),
      cpuSeconds,
      wallSeconds,
    };
  }

  #firstLast(key: string): FirstLast {
    const count = Math.max(1, Math.round(PART * this.#steps.length));
    return {
      first: finiteMean(this.#steps.slice(0, count).map((metrics) => metrics[key])),
      last: finiteMean(this.#steps.slice(-count).map((metrics) => metrics[key])),
    };
  }
}

/** Mean of the values that were counted; null if none was. */
function finiteMean(values: readonly (number | undefined)[]): number | null {
  const finite = values.filter((value) => value !== undefined && Number.isFinite(value)) as number[];
  return finite.length === 0 ? null : finite.reduce((a, b) => a + b, 0) / finite.length;
}
