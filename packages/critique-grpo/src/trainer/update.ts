/** From training groups to optimizer steps. */
import { sequenceWeights } from "../algorithm/aggregation.js";
import { annealedWeight, shareScale } from "../algorithm/guards.js";
import { learningRateAt } from "../algorithm/schedule.js";
import { createTokenLoss, sequenceLoss, type TokenLossSettings } from "../algorithm/token-loss.js";
import type { RunConfig } from "../config/schema.js";
import type { Policy } from "../policy/policy.js";
import type { TrainingGroup, TrainingSequence } from "../rollout/records.js";
import type { Stopwatch } from "../rollout/stopwatch.js";
import { type GuardOutcome, type MiniBatchOutcome, UpdateStatistics } from "./update-statistics.js";

export type UpdateConfig = Pick<RunConfig, "sampling" | "algorithm" | "optimizer" | "steps" | "miniBatches">;

export interface UpdateContext {
  readonly config: UpdateConfig;
  readonly policy: Policy;
  /** Mini-batches before this update, with a step, a skipped one or none: the position in the schedule. */
  readonly optimizerSteps: number;
  readonly stopwatch: Stopwatch;
}

/**
 * One optimizer step for each mini-batch of groups that has something to train on. It is not interruptible: an aborted run stops before or after it,
 * with weights that belong to a whole step.
 */
export async function updatePolicy(
  groups: readonly TrainingGroup[],
  context: UpdateContext,
): Promise<UpdateStatistics> {
  const { config, policy, stopwatch } = context;
  const statistics = new UpdateStatistics();
  const outcomes: Promise<MiniBatchOutcome>[] = [];
  const allSteps = config.steps * config.miniBatches;
  const miniBatches = splitEvenly(groups, config.miniBatches).map((part, index) => ({
    sequences: trainingSequences(part, config),
    position: context.optimizerSteps + index,
  }));
  // Where nothing was right enough to be learned there is no step: AdamW would move the weights by its momentum alone.
  const nonEmpty = miniBatches.filter(({ sequences }) => sequences.length > 0);
  statistics.addEmpty(miniBatches.length - nonEmpty.length);
  const filled =
    config.algorithm.samplerCorrection === null ? nonEmpty : await withProximal(nonEmpty, statistics, context);
  for (const [index, miniBatch] of filled.entries()) {
    const referenced = await withReference(miniBatch.sequences, context);
    const settings = tokenLossSettings(referenced, config);
    const { sequences, guards } = await withGuards(referenced, settings, miniBatch.position, context);
    const learningRate = learningRateAt(config.optimizer, miniBatch.position, allSteps);
    const samplingNext = index === filled.length - 1 && context.optimizerSteps + miniBatches.length < allSteps;
    await stopwatch.time("update", async () => {
      const options = { temperature: config.sampling.temperature };
      const result = await policy.forwardBackward(sequences, createTokenLoss(settings), options);
      const { beta1, beta2, epsilon, weightDecay, maxGradNorm } = config.optimizer;
      const parameters = { learningRate, beta1, beta2, epsilon, weightDecay, maxGradNorm };
      const outcome = policy
        .optimizerStep(parameters, { samplingNext })
        .then((step) => ({ result, step, settings, guards, learningRate, isFirst: index === 0 }));
      outcomes.push(outcome);
      // Its failure shows below; until then it is not an unhandled one.
      outcome.catch(() => {});
      if (policy.info.capabilities.queuesCalls !== true) await outcome;
    });
  }
  for (const outcome of await stopwatch.time("update", () => Promise.all(outcomes))) statistics.add(outcome);
  return statistics;
}

/** Parts of equal size, up to one; the first ones are the larger. */
export function splitEvenly<T>(items: readonly T[], parts: number): T[][] {
  const size = Math.floor(items.length / parts);
  const larger = items.length % parts;
  const result: T[][] = [];
  let start = 0;
  for (let part = 0; part < parts; part++) {
    const end = start + size + (part < larger ? 1 : 0);
    result.push(items.slice(start, end));
    start = end;
  }
  return result.filter((part) => part.length > 0);
}

/**
 * The sequences of a mini-batch. Every answer, refined or not, is trained as an answer to the bare question; the
 * tokens are those that were sampled. Weights are those of the whole mini-batch, so micro-batches cannot change them.
 */
export function trainingSequences(
  groups: readonly TrainingGroup[],
  config: Pick<UpdateConfig, "sampling" | "algorithm">,
): TrainingSequence[] {
  const members = groups.flatMap((group) => group.members.map((member) => ({ group, member })));
  const weights = sequenceWeights(
    members.map(({ member }) => member.response.tokens.length),
    config.algorithm.aggregation,
    config.sampling.maxTokens,
  );
  return members.map(({ group, member: { response, advantage } }, i) => ({
    prompt: response.kind === "critique" ? response.prompt : group.prompt,
    response: response.tokens,
    oldLogprobs: response.kind === "initial" ? response.logprobs : null,
    proximalLogprobs: null,
    samplingLogprobs: response.kind === "refinement" ? response.logprobs : null,
    referenceLogprobs: null,
    advantage,
    origin: response.kind,
    weight: weights[i]!,
  }));
}

interface MiniBatch {
  readonly sequences: TrainingSequence[];
  /** In the schedule. */
  readonly position: number;
}

/**
 * Initial responses of later mini-batches with the trainer's log π before the first step moves the weights: one more
 * forward pass. The first mini-batch has it from its own.
 */
async function withProximal(
  [first, ...later]: readonly MiniBatch[],
  statistics: UpdateStatistics,
  { config, policy, stopwatch }: UpdateContext,
): Promise<MiniBatch[]> {
  if (first === undefined) return [];
  const sequences = later.flatMap((miniBatch) => miniBatch.sequences).filter(({ origin }) => origin === "initial");
  if (sequences.length === 0) return [first, ...later];
  const current = await stopwatch.time("update", () =>
    policy.logprobs(sequences, { temperature: config.sampling.temperature }),
  );
  statistics.addForwardPass(sequences);
  const proximal = new Map(sequences.map((sequence, i) => [sequence, current[i]!.logprobs]));
  const measured = later.map((miniBatch) => ({
    ...miniBatch,
    sequences: miniBatch.sequences.map((sequence) => ({
      ...sequence,
      proximalLogprobs: proximal.get(sequence) ?? null,
    })),
  }));
  return [first, ...measured];
}

async function withReference(sequences: TrainingSequence[], context: UpdateContext): Promise<TrainingSequence[]> {
  const { config, policy, stopwatch } = context;
  if (config.algorithm.klCoefficient === 0) return sequences;
  const reference = await stopwatch.time("reference", () =>
    policy.referenceLogprobs(sequences, { temperature: config.sampling.temperature }),
  );
  return sequences.map((sequence, i) => ({ ...sequence, referenceLogprobs: reference[i]!.logprobs }));
}

/**
 * Off-policy sequences with their weights lowered as `algorithm.offPolicy` says. The share is measured on the whole
 * mini-batch with the weights that its step starts from: micro-batches cannot change it.
 */
async function withGuards(
  sequences: TrainingSequence[],
  settings: TokenLossSettings,
  position: number,
  { config, policy, stopwatch }: UpdateContext,
): Promise<{ sequences: TrainingSequence[]; guards: GuardOutcome }> {
  const { annealing, maxGradientShare } = config.algorithm.offPolicy;
  const weight = annealing === null ? 1 : annealedWeight(annealing, position / config.miniBatches);
  const annealed = weight === 1 ? sequences : scaleOffPolicy(sequences, weight);
  if (maxGradientShare === null)
    return { sequences: annealed, guards: { annealing: weight, shareScale: 1, measuredTokens: 0 } };
  const current = await stopwatch.time("update", () =>
    policy.logprobs(annealed, { temperature: config.sampling.temperature }),
  );
  const gradients = { onPolicy: 0, offPolicy: 0 };
  for (const [i, sequence] of annealed.entries()) {
    const part = sequence.origin === "initial" ? "onPolicy" : "offPolicy";
    for (const gradient of sequenceLoss(sequence, current[i]!, settings).logprobGradient) {
      gradients[part] += Math.abs(gradient);
    }
  }
  const scale = shareScale(gradients.onPolicy, gradients.offPolicy, maxGradientShare);
  const measuredTokens = annealed.reduce((sum, { prompt, response }) => sum + prompt.length + response.length, 0);
  return {
    sequences: scale === 1 ? annealed : scaleOffPolicy(annealed, scale),
    guards: { annealing: weight, shareScale: scale, measuredTokens },
  };
}

function scaleOffPolicy(sequences: readonly TrainingSequence[], factor: number): TrainingSequence[] {
  return sequences.map((sequence) =>
    sequence.origin === "initial" ? sequence : { ...sequence, weight: sequence.weight * factor },
  );
}

function tokenLossSettings(sequences: readonly TrainingSequence[], config: UpdateConfig): TokenLossSettings {
  const { objective, clip, samplerCorrection, shaping, offPolicy, klCoefficient, entropyCoefficient } =
    config.algorithm;
  const { importanceCap } = offPolicy;
  const tokens = sequences.reduce((sum, sequence) => sum + sequence.response.length, 0);
  const entropyWeight = tokens === 0 ? 0 : entropyCoefficient / tokens;
  const samplerCap = samplerCorrection?.cap ?? null;
  return { objective, clip, samplerCap, shaping, importanceCap, klCoefficient, entropyWeight };
}
