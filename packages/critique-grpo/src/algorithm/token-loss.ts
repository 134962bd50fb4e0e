/**
 * The loss of one sequence and its gradient with respect to the log-probabilities: all that an engine needs to train
 * with GRPO, Dr. GRPO, Critique-GRPO or cross-entropy.
 */
import type { ServerLoss, TokenLogprobs, TokenLoss, TokenLossResult } from "../policy/policy.js";
import type { TrainingSequence } from "../rollout/records.js";
import { type ClipBounds, ratioObjective } from "./clipping.js";
import { importanceWeight } from "./guards.js";
import { klEstimate } from "./kl.js";
import { type Shaping, shapeProbability } from "./shaping.js";

/** `supervised`: cross-entropy, whatever the advantage. */
export type Objective = "policy-gradient" | "supervised";

export interface TokenLossSettings {
  readonly objective: Objective;
  /** null = plain ratio. */
  readonly clip: ClipBounds | null;
  readonly shaping: Shaping;
  /** Cap of the weight that makes up for a sampler that is not the trainer; null = no weight. */
  readonly samplerCap: number | null;
  /** Cap of the importance weight of refinements; null = no weight. */
  readonly importanceCap: number | null;
  readonly klCoefficient: number;
  /** Entropy coefficient over the number of tokens in the mini-batch. */
  readonly entropyWeight: number;
}

/**
 * L = −Σ_t w · J_t + klCoefficient · Σ_t w · KL_t − entropyWeight · Σ_t H_t, where w is the sequence's weight. J is A · r
 * (clipped) for initial responses, times their sampler weight where it is on, A · f(p) of the current policy for refinements and expert solutions, times the
 * importance weight, which is a constant to the gradient; log p for every target of the supervised objective.
 */
export function createTokenLoss(settings: TokenLossSettings): TokenLoss<TrainingSequence> {
  const loss = (sequence: TrainingSequence, current: TokenLogprobs) => sequenceLoss(sequence, current, settings);
  return Object.assign(loss, { serverLoss: (sequence: TrainingSequence) => serverLoss(sequence, settings) });
}

/** The loss as log p or a (clipped) ratio alone: without KL, entropy bonus, dual clip and shaping. */
function serverLoss(sequence: TrainingSequence, settings: TokenLossSettings): ServerLoss | null {
  const { origin, oldLogprobs, advantage, weight } = sequence;
  const { objective, clip, samplerCap, klCoefficient, entropyWeight } = settings;
  if (klCoefficient > 0 || entropyWeight > 0) return null;
  if (objective === "supervised") return { kind: "linear", weight };
  if (origin !== "initial" || oldLogprobs === null || clip?.dual !== undefined || samplerCap !== null) return null;
  return { kind: "ratio", oldLogprobs, advantage: advantage * weight, clip };
}

/** @throws Error if a sequence lacks logprobs that its loss needs: old ones on-policy, sampling ones, reference ones. */
export function sequenceLoss(
  sequence: TrainingSequence,
  current: TokenLogprobs,
  settings: TokenLossSettings,
): TokenLossResult {
  const length = sequence.response.length;
  const { weight, referenceLogprobs } = sequence;
  requireLength("current logprobs", current.logprobs, length);
  if (settings.klCoefficient > 0) requireLength("reference logprobs", referenceLogprobs, length);
  const objective = tokenObjective(sequence, settings);

  const logprobGradient = new Float32Array(length);
  let loss = 0;
  for (let t = 0; t < length; t++) {
    const logprob = current.logprobs[t]!;
    const term = objective(logprob, t);
    loss -= term.value * weight;
    let gradient = -term.gradient * weight;
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

/** J of one token and ∂J/∂ℓ, to be maximised. */
interface TokenObjective {
  readonly value: number;
  readonly gradient: number;
}

function tokenObjective(
  sequence: TrainingSequence,
  { objective, clip, samplerCap, shaping, importanceCap }: TokenLossSettings,
): (logprob: number, t: number) => TokenObjective {
  const { response, origin, oldLogprobs, samplingLogprobs, advantage } = sequence;
  if (objective === "supervised") return (logprob) => ({ value: logprob, gradient: 1 });
  if (origin === "initial") {
    requireLength("old logprobs", oldLogprobs, response.length);
    if (samplerCap === null) return (logprob, t) => ratioObjective(logprob, oldLogprobs![t]!, advantage, clip);
    const { proximalLogprobs } = sequence;
    if (proximalLogprobs !== null) requireLength("proximal logprobs", proximalLogprobs, response.length);
    return (logprob, t) => {
      const proximal = proximalLogprob(sequence, logprob, t);
      const weight = importanceWeight(proximal, oldLogprobs![t]!, samplerCap);
      const { value, gradient } = ratioObjective(logprob, proximal, advantage, clip);
      return { value: weight * value, gradient: weight * gradient };
    };
  }
  if (importanceCap !== null) requireLength("sampling logprobs", samplingLogprobs, response.length);
  return (logprob, t) => {
    const shaped = shapeProbability(logprob, shaping);
    const scale =
      importanceCap === null ? advantage : advantage * importanceWeight(logprob, samplingLogprobs![t]!, importanceCap);
    return { value: scale * shaped.value, gradient: scale * shaped.gradient };
  };
}

/**
 * log π of an initial response's token under the trainer before the first optimizer step of the update: what its ratio is
 * to where the sampler is corrected for. A constant to the gradient, also where it is the current one.
 */
export function proximalLogprob({ proximalLogprobs }: TrainingSequence, logprob: number, t: number): number {
  return proximalLogprobs === null ? logprob : proximalLogprobs[t]!;
}

function requireLength(name: string, values: Float32Array | null, length: number): void {
  if (values === null) throw new Error(`Token loss: this sequence needs ${name} and has none`);
  if (values.length !== length) {
    throw new Error(`Token loss: ${name} have ${values.length} entries for a response of ${length} tokens`);
  }
}
