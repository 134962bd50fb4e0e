/** The training loop: sample, verify, critique, refine, add expert solutions, select, compare, update, record. */
import type { RunConfig } from "../config/schema.js";
import type { Question } from "../data/question.js";
import type { Critic } from "../feedback/critique/critic.js";
import { createIndicativeCritic } from "../feedback/critique/indicative.js";
import { createSelfCritic } from "../feedback/critique/policy-critics.js";
import { createScorer, type WeightedReward } from "../feedback/reward/reward.js";
import type { Policy, TextCodec } from "../policy/policy.js";
import { assembleGroup } from "../rollout/assemble.js";
import { addExpertSolutions } from "../rollout/expert.js";
import { sampleInitialResponses } from "../rollout/initial.js";
import { refineResponses } from "../rollout/refine.js";
import { batchIndices } from "../rollout/seeds.js";
import { Stopwatch } from "../rollout/stopwatch.js";
import type { EventSink } from "../run/events.js";
import { checkCapabilities, checkConfig, checkCritic, checkQuestions } from "./check.js";
import { generatedTokens, type StepMetrics, stepMetrics } from "./metrics.js";
import { type Progress, RunSession } from "./session.js";
import { updatePolicy } from "./update.js";
import { stepWarnings } from "./warnings.js";

/** Evaluates the policy after `step` steps; what it returns is a line of evaluations.jsonl. */
export type EvaluationHook = (context: {
  readonly policy: Policy;
  readonly step: number;
  readonly signal?: AbortSignal | undefined;
}) => Promise<object>;

export interface TrainOptions {
  /** A validated configuration with every default filled in. */
  readonly config: RunConfig;
  /** Stays open; the caller closes it. */
  readonly policy: Policy;
  readonly codec: TextCodec;
  readonly questions: readonly Question[];
  /** Added up with their weights. */
  readonly rewards: readonly WeightedReward[];
  /** Opened and closed by the run. Default: what critique.type names, where it needs no module, model or server. */
  readonly critic?: Critic | null | undefined;
  /** Called before the first step, every `evaluation.every` steps, and after the last one. */
  readonly evaluate?: EvaluationHook | undefined;
  /** Where records, checkpoints and the trained model go. Default: `config.runDirectory`; with neither nothing is written. */
  readonly runDirectory?: string | undefined;
  /** Continue the run in `runDirectory` from its newest checkpoint, to the same weights as without interruption. */
  readonly resume?: boolean | undefined;
  /** Directory whose tokenizer files are put beside the exported model. */
  readonly tokenizerDirectory?: string | undefined;
  readonly sinks?: readonly EventSink[] | undefined;
  /** Aborting it ends the run with a checkpoint of the last whole step. */
  readonly signal?: AbortSignal | undefined;
}

export interface TrainResult {
  /** Steps done in all. */
  readonly step: number;
  /** The signal was aborted before the last step. */
  readonly interrupted: boolean;
  /** Metrics of the last step of this call; null if it did none. */
  readonly metrics: StepMetrics | null;
  /** The exported HF model directory; null without a run directory or if interrupted. */
  readonly model: string | null;
}

/**
 * Trains the policy on the questions.
 * @throws Error, before any work, if configuration, questions, engine and run directory do not go together; in a run,
 * if the engine or a sink fails (the event `run-failed` tells first). Failing rewards and critics do not end a run.
 */
export async function train(options: TrainOptions): Promise<TrainResult> {
  const { config, policy, codec, questions, evaluate, signal } = options;
  const critic = options.critic ?? defaultCritic(config);
  const score = createScorer(options.rewards, config.reward.correctAt);
  checkConfig(config);
  checkCapabilities(config, policy.info);
  checkCritic(config, critic);
  checkQuestions(questions, codec, config, policy.info);

  const { steps, seed, questionsPerStep } = config;
  const rewardNames = options.rewards.map((reward) => reward.name);
  let metrics: StepMetrics | null = null;
  const loop = async (session: RunSession, progress: Progress) => {
    await session.evaluateIfDue(evaluate, config.evaluation.every);
    while (progress.step < steps) {
      const start = performance.now();
      const { step, optimizerSteps, generatedTokens: generatedBefore } = progress;
      const stopwatch = new Stopwatch((phase) => session.phase(phase));
      const context = { config, policy, codec, score, critic, step, stopwatch, signal };
      const batch = batchIndices(seed, step, questionsPerStep, questions.length).map((row) => questions[row]!);

      const sampled = await sampleInitialResponses(batch, context);
      const refined = await refineResponses(sampled, context);
      const rollouts = await addExpertSolutions(refined, context);
      const groups = rollouts.map((rollout) => assembleGroup(rollout, context));
      const update = await updatePolicy(groups, { config, policy, optimizerSteps, stopwatch });

      const stepSeconds = (performance.now() - start) / 1000;
      metrics = stepMetrics({ groups, update, stopwatch, stepSeconds, config, generatedBefore, rewardNames });
      progress.optimizerSteps += update.optimizerSteps;
      progress.generatedTokens += generatedTokens(groups, config);
      await session.finishStep(metrics, groups, stepWarnings(groups, update));
      await session.checkpointIfDue(config.checkpoint.every);
      await session.evaluateIfDue(evaluate, config.evaluation.every);
    }
    return metrics;
  };
  const runDirectory = options.runDirectory ?? config.runDirectory ?? null;
  try {
    await critic?.open?.({ policy, codec, runDirectory });
    const session = await RunSession.open({ ...options, task: "train", steps, volatileKeys: volatileKeys(config) });
    return await session.run((progress) => loop(session, progress));
  } finally {
    await critic?.close?.();
  }
}

/**
 * Keys that may differ between a run and its resumption: steps already done would have been the same. A longer run is
 * such a case where the learning rate does not depend on its length.
 */
function volatileKeys({ optimizer }: RunConfig): string[] {
  const always = ["runDirectory", "checkpoint", "evaluation", "logging", ...TEACHER_TERMS];
  return optimizer.schedule === "constant" ? [...always, "steps"] : always;
}

/** How a teacher is reached and paid, not what it is asked. */
const TEACHER_TERMS = [
  ...["apiKeyVariable", "concurrency", "ahead", "attempts", "timeoutSeconds", "longestWaitSeconds", "budget", "price"],
  ...["cacheDirectory", "checkAtStart"],
].map((key) => `critique.${key}`);

function defaultCritic({ critique }: RunConfig): Critic | null {
  if (critique.type === "self") return createSelfCritic(critique);
  return critique.type === "simple" || critique.type === "simple_gt" ? createIndicativeCritic(critique.type) : null;
}
