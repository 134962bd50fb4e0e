/** Supervised fine-tuning on prompt/response pairs: token-mean cross-entropy over response tokens. */
import { learningRateAt } from "../algorithm/schedule.js";
import { InputError } from "../config/errors.js";
import type { SftConfig } from "../config/sft-schema.js";
import type { ForwardBackwardResult, Policy, TokenLogprobs, TokenLoss, TokenSequence } from "../policy/policy.js";
import { batchIndices } from "../rollout/seeds.js";
import type { EventSink } from "../run/events.js";
import { checkOptimizer } from "../trainer/check.js";
import type { StepMetrics } from "../trainer/metrics.js";
import { RunSession } from "../trainer/session.js";
import type { EvaluationHook, TrainResult } from "../trainer/train.js";

export type SftSettings = Pick<SftConfig, "seed" | "steps" | "batchSize" | "optimizer" | "checkpoint"> &
  Partial<Pick<SftConfig, "runDirectory" | "logging">>;

export interface SftOptions {
  /** Written as config.yaml; a whole SftConfig or these settings alone. */
  readonly config: SftSettings;
  /** Stays open; the caller closes it. */
  readonly policy: Policy;
  /**
   * A data set, visited in a seeded order, epoch after epoch; or a function that makes the pairs of a step (from 0).
   * The function must depend on the step alone, so that a resumed run sees the same pairs.
   */
  readonly pairs:
    | readonly TokenSequence[]
    | ((step: number) => readonly TokenSequence[] | Promise<readonly TokenSequence[]>);
  /** Called before the first and after the last step. */
  readonly evaluate?: EvaluationHook | undefined;
  /** Default: `config.runDirectory`; with neither nothing is written. */
  readonly runDirectory?: string | undefined;
  readonly resume?: boolean | undefined;
  readonly tokenizerDirectory?: string | undefined;
  readonly sinks?: readonly EventSink[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Keys that may differ between a run and its resumption without changing the result. */
const VOLATILE_KEYS = ["runDirectory", "checkpoint", "logging"];

/** @throws InputError on an empty data set, optimizer settings the engine would ignore, or pairs that do not fit the context; otherwise as `train`. */
export async function sft(options: SftOptions): Promise<TrainResult> {
  const { config, policy, pairs, evaluate } = options;
  checkOptimizer(config.optimizer, policy.info);
  if (typeof pairs !== "function") checkPairs(pairs, policy);
  const { steps, seed, batchSize, optimizer } = config;
  const session = await RunSession.open({ ...options, task: "sft", steps, volatileKeys: VOLATILE_KEYS });
  let metrics: StepMetrics | null = null;
  return session.run(async (progress) => {
    await session.evaluateIfDue(evaluate, 0);
    while (progress.step < steps) {
      const start = performance.now();
      const { step } = progress;
      const batch =
        typeof pairs === "function"
          ? await pairs(step)
          : batchIndices(seed, step, batchSize, pairs.length).map((row) => pairs[row]!);
      if (typeof pairs === "function") checkPairs(batch, policy);

      session.phase("update");
      const result = await policy.forwardBackward(batch, crossEntropy(batch));
      const { beta1, beta2, epsilon, weightDecay, maxGradNorm } = optimizer;
      const learningRate = learningRateAt(optimizer, progress.optimizerSteps, steps);
      const update = await policy.optimizerStep({ learningRate, beta1, beta2, epsilon, weightDecay, maxGradNorm });

      progress.optimizerSteps++;
      const seconds = (performance.now() - start) / 1000;
      metrics = { ...lossMetrics(result), grad_norm: update.gradNorm, lr: learningRate, "seconds/step": seconds };
      metrics = { ...metrics, skipped_updates: update.skipped ? 1 : 0 };
      const warnings = update.skipped ? ["the optimizer step was skipped: the gradient was not finite"] : [];
      await session.finishStep(metrics, [], warnings);
      await session.checkpointIfDue(config.checkpoint.every);
    }
    await session.evaluateIfDue(evaluate, 0);
    return metrics;
  });
}

/** −Σ log p / (response tokens of the whole batch). */
function crossEntropy(batch: readonly TokenSequence[]): TokenLoss<TokenSequence> {
  const weight = 1 / countTokens(batch);
  const tokenLoss = ({ response }: TokenSequence, { logprobs }: TokenLogprobs) => {
    let loss = 0;
    for (const logprob of logprobs) loss -= weight * logprob;
    return { loss, logprobGradient: new Float32Array(response.length).fill(-weight) };
  };
  return Object.assign(tokenLoss, { serverLoss: () => ({ kind: "linear", weight }) as const });
}

function lossMetrics({ loss, sequences }: ForwardBackwardResult<TokenSequence>): StepMetrics {
  let entropy = 0;
  let probability = 0;
  for (const { current } of sequences) {
    for (const value of current.entropies) entropy += value;
    for (const logprob of current.logprobs) probability += Math.exp(logprob);
  }
  const tokens = countTokens(sequences.map(({ sequence }) => sequence));
  return { loss, entropy: entropy / tokens, mean_probability: probability / tokens, "tokens/trained": tokens };
}

function countTokens(sequences: readonly TokenSequence[]): number {
  return sequences.reduce((sum, { response }) => sum + response.length, 0);
}

function checkPairs(pairs: readonly TokenSequence[], policy: Policy): void {
  if (pairs.length === 0) throw new InputError("There are no prompt/response pairs; training needs at least one");
  const { contextLength } = policy.info;
  for (const [index, { prompt, response }] of pairs.entries()) {
    if (prompt.length === 0 || response.length === 0) {
      throw new InputError(`Pair ${index} has an empty ${prompt.length === 0 ? "prompt" : "response"}`);
    }
    const length = prompt.length + response.length;
    if (length > contextLength) {
      throw new InputError(
        `Pair ${index} has ${length} tokens; the context holds ${contextLength}. Shorten it or leave it out`,
      );
    }
  }
}
