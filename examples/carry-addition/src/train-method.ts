/** One method on one seed: what `critique-grpo train <method>.yaml` does, on the seed's own model and questions. */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  createScorer,
  type EvaluationOptions,
  type EventSink,
  loadRunConfig,
  loadTextCodec,
  loadUserModule,
  openPolicy,
  presets,
  type RunConfig,
  resolveCritic,
  resolveRewards,
  train,
} from "critique-grpo";
import { type Examinee, greedyAccuracy, measure, type QuestionSets } from "./measure.js";
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
    ...task.overrides,
  ];
  return loadRunConfig({ file: join(EXAMPLE_DIRECTORY, `${method}.yaml`), overrides, presets }).config;
}

/** The reward of the YAML file, as evaluations use it. */
export async function loadScore(config: RunConfig): Promise<EvaluationOptions["score"]> {
  return createScorer(await resolveRewards(config.reward, loadUserModule), config.reward.correctAt);
}

/** @throws the signal's reason if it aborts. */
export async function trainMethod(task: MethodTask): Promise<MethodRecord> {
  const { method, seed, directory, sets, before, progress, signal } = task;
  const start = performance.now();
  const config = methodConfig(task);
  const rewards = await resolveRewards(config.reward, loadUserModule);
  const critic = await resolveCritic(config.critique, loadUserModule);
  if (typeof config.engine.model !== "string") throw new Error("the methods start from the warm-up model's directory");
  const codec = loadTextCodec(config.engine.model);
  const policy = await openPolicy(config.engine);
  try {
    const score = createScorer(rewards, config.reward.correctAt);
    const examinee: Examinee = { policy, codec, score, signal };
    const watched = sets.heldOut.slice(0, config.evaluation.limit);
    const curve = new Curve();
    const result = await train({
      config,
      policy,
      codec,
      questions: sets.train,
      rewards,
      critic,
      evaluate: async () => ({ greedy: await greedyAccuracy(examinee, watched) }),
      runDirectory: join(directory, method),
      tokenizerDirectory: config.engine.model,
      sinks: [curve.sink, progress.sink(`seed ${seed} · ${method}`)],
      signal,
    });
    if (result.interrupted) signal.throwIfAborted();
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
    this.points.push({ step: event.step, sampledTokens: this.sampledTokens, greedy: Number(event.result.greedy) });
  };
}
