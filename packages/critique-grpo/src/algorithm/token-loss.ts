/**
 * The loss of one sequence and its gradient with respect to the log-probabilities: all that an engine needs to train
 * with GRPO, Dr. GRPO or Critique-GRPO.
 */
import type { ServerLoss, TokenLogprobs, TokenLoss, TokenLossResult } from "../policy/policy.js";
import type { TrainingSequence } from "../rollout/records.js";
import { type ClipBounds, ratioObjective } from "./clipping.js";
import { klEstimate } from "./kl.js";
import { type Shaping, shapeProbability } from "./shaping.js";

export interface TokenLossSettings {
  /** null = plain ratio. */
  readonly clip: ClipBounds | null;
  readonly shaping: Shaping;
  readonly klCoefficient: number;
  /** Entropy coefficient over the number of tokens in the mini-batch. */
  readonly entropyWeight: number;
}

/**
 * L = −Σ_t w · (A · r_t or A · f(p_t)) + klCoefficient · Σ_t w · KL_t − entropyWeight · Σ_t H_t, where w is the
 * sequence's weight. Initial responses take the (clipped) ratio, refinements f(p) of the current policy.
 */
export function createTokenLoss(settings: TokenLossSettings): TokenLoss<TrainingSequence> {
  const loss = (sequence: TrainingSequence, current: TokenLogprobs) => sequenceLoss(sequence, current, settings);
  return Object.assign(loss, { serverLoss: (sequence: TrainingSequence) => serverLoss(sequence, settings) });
}

/** The loss as a (clipped) ratio alone: an initial response without KL, entropy bonus and dual clip. */
function serverLoss(sequence: TrainingSequence, settings: TokenLossSettings): ServerLoss | null {
  const { oldLogprobs, advantage, weight } = sequence;
  const { clip, klCoefficient, entropyWeight } = settings;
  if (sequence.isRefinement || oldLogprobs === null || klCoefficient > 0 || entropyWeight > 0) return null;
  if (clip?.dual !== undefined) return null;
  return { kind: "ratio", oldLogprobs, advantage: advantage * weight, clip };
}

/** @throws Error if an on-policy sequence has no old logprobs, or KL is on without reference logprobs. */
export function sequenceLoss(
  sequence: TrainingSequence,
  current: TokenLogprobs,
  settings: TokenLossSettings,
): TokenLossResult {
  const length = sequence.response.length;
  const { advantage, weight, oldLogprobs, referenceLogprobs } = sequence;
  requireLength("current logprobs", current.logprobs, length);
  if (!sequence.isRefinement) requireLength("old logprobs", oldLogprobs, length);
  if (settings.klCoefficient > 0) requireLength("reference logprobs", referenceLogprobs, length);

  const logprobGradient = new Float32Array(length);
  let loss = 0;
  for (let t = 0; t < length; t++) {
    const logprob = current.logprobs[t]!;
    let gradient: number;
    if (sequence.isRefinement) {
      const shaped = shapeProbability(logprob, settings.shaping);
      loss -= advantage * shaped.value * weight;
      gradient = -advantage * shaped.gradient * weight;
    } else {
      const objective = ratioObjective(logprob, oldLogprobs![t]!, advantage, settings.clip);
      loss -= objective.value * weight;
      gradient = -objective.gradient * weight;
    }
    if (settings.klCoefficient > 0) {
      const kl = klEstimate(logprob, referenceLogprobs![t]!);
      loss += settings.klCoefficient * kl.value * weight;
      gradient += settings.klCoefficient * kl.gradient * weight;
    }
    logprobGradient[t] = gradient;
  }
  if (settings.entropyWeight === 0) return { loss, logprobGradient };
  for (const entropy of current.entropies) loss -= settings.entropyWeight * entropy;
  return { loss, logprobGradient, entropyGradient: new Float32Array(length).fill(-settings.entropyWeight) };
}

function requireLength(name: string, values: Float32Array | null, length: number): void {
  if (values === null) throw new Error(`Token loss: this sequence needs ${name} and has none`);
  if (values.length !== length) {
    throw new Error(`Token loss: ${name} have ${values.length} entries for a response of ${length} tokens`);
  }
}
