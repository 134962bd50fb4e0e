/** From a configuration to the sets of questions that an evaluation asks. */
import { basename, extname } from "node:path";
import type { RunConfig } from "../config/schema.js";
import { verifiableQuestions } from "../data/check.js";
import { type LocatedQuestion, loadQuestions } from "../data/load.js";
import { benchmarkNamed, loadBenchmark } from "../evaluation/benchmarks/load.js";
import type { EvaluationSet, GenerationSettings } from "../evaluation/types.js";
import { builtInVerifier, createVerifier } from "../evaluation/verifier.js";
import type { WeightedReward } from "../feedback/reward/reward.js";

export type EvaluationConfig = Pick<RunConfig, "data" | "evaluation" | "reward">;

/** A set with the places its questions come from, for messages. */
export interface LocatedSet extends Omit<EvaluationSet, "questions"> {
  readonly located: readonly LocatedQuestion[];
}

export interface LoadedSets {
  readonly sets: readonly LocatedSet[];
  readonly warnings: readonly string[];
}

/**
 * The sets of `evaluation.files` (judged by the rewards of the run) and `evaluation.benchmarks` (by their own). Questions
 * whose gold answer cannot be judged are left out with a warning, or refused.
 * @throws InputError on the first thing that is wrong
 */
export async function loadEvaluationSets(
  config: EvaluationConfig,
  rewards: readonly WeightedReward[],
): Promise<LoadedSets> {
  const { data, evaluation, reward } = config;
  const { files, limit, benchmarks, benchmarkDirectory, benchmarkSamples, temperature } = evaluation;
  const limited = limit === undefined ? {} : { limit };
  const warnings: string[] = [];
  const keepVerifiable = (located: readonly LocatedQuestion[], judges: readonly WeightedReward[]) => {
    const { kept, warning } = verifiableQuestions(located, judges, reward.unverifiableGold);
    if (warning !== null) warnings.push(warning);
    return kept;
  };
  const sets: LocatedSet[] = [];
  if (files !== undefined) {
    const { limit: _, ...mapping } = data;
    const located = await loadQuestions({ ...mapping, files, ...limited });
    const first = typeof files === "string" ? files : files[0]!;
    const verifier = createVerifier(rewards, reward.correctAt);
    sets.push({
      ...{ name: basename(first, extname(first)), samples: evaluation.samples, verifier },
      located: keepVerifiable(located, rewards),
    });
  }
  for (const entry of benchmarks) {
    const { name, file } = typeof entry === "string" ? { name: entry, file: undefined } : entry;
    const benchmark = benchmarkNamed(name);
    const { promptTemplate: template, system, format } = data;
    const located = await loadBenchmark(
      benchmark,
      { file, directory: benchmarkDirectory },
      { template, system, format },
    );
    const verifier = await builtInVerifier(benchmark.verifier);
    // At temperature 0 there is one response.
    const samples = benchmarkSamples ?? (temperature === 0 ? 1 : benchmark.samples);
    sets.push({ name, samples, verifier, located: keepVerifiable(located, verifier.rewards).slice(0, limit) });
  }
  return { sets, warnings };
}

/** As the evaluation takes it. */
export function evaluationSet({ located, ...set }: LocatedSet): EvaluationSet {
  return { ...set, questions: located.map(({ question }) => question) };
}

export function evaluationSettings(config: Pick<RunConfig, "evaluation" | "sampling" | "seed">): GenerationSettings {
  const { evaluation, sampling, seed } = config;
  const { temperature, topP, greedy, maxTokens = sampling.maxTokens } = evaluation;
  return { temperature, topP, maxTokens, seed, greedy };
}
