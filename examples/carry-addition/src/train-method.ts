/** One method on one seed: what `critique-grpo train <method>.yaml` does, on the seed's own model and questions. */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  type EvaluationSummary,
  type EventSink,
  loadRunConfig,
  openPolicy,
  prepareRun,
  type RunConfig,
  train,
} from "critique-grpo";
import { type Examinee, measure, type QuestionSets } from "./measure.js";
import type { Progress } from "./progress.js";
import type { Measurement, Method, MethodRecord } from "./summary.js";

export interface MethodTask {
  readonly method: Method;
  readonly seed: number;
  /** Of the seed; the run goes to `<directory>/<method>`. */
  readonly directory: string;
  readonly overrides: readonly string[];
  readonly sets: QuestionSets;
  /** Of the warm-up model. */
  readonly before: Measurement;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** The folder of the YAML files, whether this runs from src or dist. */
export const EXAMPLE_DIRECTORY = dirname(dirname(fileURLToPath(import.meta.url)));

/** The method's YAML file with the seed's files put in. Throws ConfigError. */
export function methodConfig(task: Pick<MethodTask, "method" | "seed" | "directory" | "overrides">): RunConfig {
  const { method, seed, directory } = task;
  const overrides = [
    `seed=${seed}`,
    `engine.model=${join(directory, "model")}`,
    `data.files=${join(directory, "train.jsonl")}`,
    `evaluation.files=${join(directory, "held-out.jsonl")}`,
    // Methods are compared at equal sampled tokens: no refinement more than needed.
    "refinement.roundGrowth=1",
    ...task.overrides,
  ];
  return loadRunConfig({ file: join(EXAMPLE_DIRECTORY, `${method}.yaml`), overrides }).config;
}

/** @throws the signal's reason if it aborts. */
export async function trainMethod(task: MethodTask): Promise<MethodRecord> {
  const { method, seed, directory, sets, before, progress, signal } = task;
  const start = performance.now();
  const config = methodConfig(task);
  const { codec, questions, rewards, critic, score, evaluate, tokenizerDirectory } = await prepareRun(config);
  const policy = await openPolicy(config.engine);
  try {
    const curve = new Curve();
    const result = await train({
      ...{ config, policy, codec, questions, rewards, critic, evaluate, tokenizerDirectory, signal },
      runDirectory: join(directory, method),
      sinks: [curve.sink, progress.sink(`seed ${seed} · ${method}`)],
    });
    if (result.interrupted) signal.throwIfAborted();
    const examinee: Examinee = { policy, codec, score, signal };
    const measurement = await measure(examinee, sets, seed);
    const seconds = (performance.now() - start) / 1000;
    return { method, seed, ...measurement, sampledTokens: curve.sampledTokens, seconds, before, curve: curve.points };
  } finally {
    await policy.close();
  }
}

/** Collects accuracy over sampled tokens from a run's events. */
class Curve {
  readonly points: { step: number; sampledTokens: number; greedy: number }[] = [];
  sampledTokens = 0;

  readonly sink: EventSink = (event) => {
    if (event.type === "step-finished") this.sampledTokens = event.metrics["tokens/generated_total"] ?? 0;
    if (event.type !== "evaluation") return;
    // The YAML files evaluate greedily, one response a question: its pass@1 is the greedy accuracy.
    const { pass1 } = event.result as unknown as EvaluationSummary;
    this.points.push({ step: event.step, sampledTokens: this.sampledTokens, greedy: pass1.value });
  };
}
