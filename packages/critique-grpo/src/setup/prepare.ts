/** From a configuration to what `train()` takes: everything cheap is read and checked before the model is loaded. */
import { dirname } from "node:path";
import { rolloutWarning } from "../config/engine-rules.js";
import { InputError } from "../config/errors.js";
import type { RunConfig } from "../config/schema.js";
import { loadUserModule } from "../config/user-module.js";
import { checkPrompts, requireGold, verifiableQuestions } from "../data/check.js";
import { type LocatedQuestion, loadQuestions } from "../data/load.js";
import type { Question } from "../data/question.js";
import { policyGenerator } from "../evaluation/generators/policy.js";
import { measure } from "../evaluation/measure.js";
import type { EvaluationSet } from "../evaluation/types.js";
import type { Critic } from "../feedback/critique/critic.js";
import { resolveCritic } from "../feedback/critique/resolve.js";
import { resolveRewards } from "../feedback/reward/resolve.js";
import { createScorer, type Scorer, type WeightedReward } from "../feedback/reward/reward.js";
import { modelFilesDirectory } from "../policy/adapter-directory.js";
import { readModelLimits } from "../policy/model-limits.js";
import { openPolicy } from "../policy/open.js";
import type { Policy } from "../policy/policy.js";
import { type HuggingFaceTextCodec, loadTextCodec } from "../text/codec.js";
import type { EvaluationHook } from "../trainer/train.js";
import { evaluationSet, evaluationSettings, loadEvaluationSets } from "./evaluation.js";

export interface PreparedRun {
  readonly config: RunConfig;
  readonly codec: HuggingFaceTextCodec;
  readonly tokenizerDirectory: string;
  readonly questions: readonly Question[];
  /** What the user should know before the run starts, such as questions that were left out and why. */
  readonly warnings: readonly string[];
  /** Tokens of the longest training prompt. */
  readonly longestPrompt: number;
  /** Empty where the configuration names neither evaluation.files nor benchmarks. */
  readonly evaluationSets: readonly EvaluationSet[];
  readonly rewards: readonly WeightedReward[];
  readonly critic: Critic | null;
  readonly score: Scorer;
  /** What `train()` calls for evaluations; undefined where there are no evaluation sets. */
  readonly evaluate: EvaluationHook | undefined;
}

/**
 * Loads user modules, tokenizer and data, and checks prompts against the model's config.json; no weights are read.
 * Throws InputError on the first thing that is wrong.
 */
export async function prepareRun(config: RunConfig): Promise<PreparedRun> {
  const loadModule = (file: string) => loadUserModule(file);
  const rewards = await resolveRewards(config.reward, loadModule);
  const critic = await resolveCritic(config.critique, loadModule);
  const score = createScorer(rewards, config.reward.correctAt);
  const tokenizerDirectory = tokenizerDirectoryOf(config);
  const codec = loadTextCodec(tokenizerDirectory);

  const loaded = await loadQuestions(config.data);
  const { sets, warnings: setWarnings } = await loadEvaluationSets(config, rewards);
  const heldOut = sets.flatMap(({ located }) => located);
  checkGold(config, [...loaded, ...heldOut]);
  const { kept: questions, warning } = verifiableQuestions(loaded, rewards, config.reward.unverifiableGold);
  const warnings = [rolloutWarning(config), warning].filter((text) => text !== null).concat(setWarnings);
  const { contextLength, vocabularySize } = readModelLimits(config.engine);
  const { maxTokens } = config.sampling;
  // A refinement is trained as an answer to the bare question: it must fit there, too.
  const longest = config.refinement.count > 0 ? Math.max(maxTokens, config.refinement.maxTokens ?? 0) : maxTokens;
  const longestPrompt = checkPrompts(questions, codec, { contextLength, maxTokens: longest, vocabularySize });
  const evaluationLimits = { contextLength, maxTokens: config.evaluation.maxTokens ?? maxTokens, vocabularySize };
  checkPrompts(heldOut, codec, evaluationLimits);

  const evaluationSets = sets.map(evaluationSet);
  const prepared = { config, codec, tokenizerDirectory, rewards, critic, score, longestPrompt, warnings };
  return {
    ...prepared,
    questions: questions.map(({ question }) => question),
    evaluationSets,
    evaluate: evaluationSets.length === 0 ? undefined : evaluationHook({ ...prepared, evaluationSets }),
  };
}

/**
 * Opens the policy of a configuration; what the engine refuses is an InputError. The caller closes it.
 * @param onNotice gets messages of a remote engine for the user
 */
export async function openConfiguredPolicy(
  config: Pick<RunConfig, "engine"> & Partial<RunConfig>,
  onNotice?: (message: string) => void,
): Promise<Policy> {
  const reference = (config.algorithm?.klCoefficient ?? 0) > 0;
  try {
    return await openPolicy(config.engine, { reference, ...(onNotice === undefined ? {} : { onNotice }) });
  } catch (error) {
    throw new InputError((error as Error).message, { cause: error });
  }
}

/**
 * Where the tokenizer is: named, or beside the weights, or beside the config.json of a fresh model.
 * Throws InputError for an engine whose model is not on this machine, if none is named.
 */
export function tokenizerDirectoryOf({ tokenizer, engine }: Pick<RunConfig, "tokenizer" | "engine">): string {
  if (tokenizer.path !== undefined) return tokenizer.path;
  if (engine.type !== "embedded") {
    throw new InputError("tokenizer.path is missing: the model is not on this machine, its tokenizer must be");
  }
  return typeof engine.model === "string" ? modelFilesDirectory(engine.model) : dirname(engine.model.config);
}

function evaluationHook({
  config,
  codec,
  evaluationSets,
}: Pick<PreparedRun, "config" | "codec" | "evaluationSets">): EvaluationHook {
  const settings = evaluationSettings(config);
  return async ({ policy, signal }) => {
    const options = { ...settings, ...(signal ? { signal } : {}) };
    return (await measure(policyGenerator(policy, codec), evaluationSets, options)).summary;
  };
}

function checkGold({ reward, critique }: RunConfig, questions: readonly LocatedQuestion[]): void {
  const exact = reward.functions.some(({ name, module }) => name === "exact-match" && module === undefined);
  if (exact) requireGold(questions, "the reward exact-match");
  if (critique.type === "simple_gt") requireGold(questions, "critique.type simple_gt");
}
