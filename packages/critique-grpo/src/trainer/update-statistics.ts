/** What an update tells about itself: sums over the tokens of all mini-batches of a step. */
import { ratioObjective } from "../algorithm/clipping.js";
import { importanceWeight } from "../algorithm/guards.js";
import { klEstimate } from "../algorithm/kl.js";
import { shapeProbability } from "../algorithm/shaping.js";
import { proximalLogprob, sequenceLoss, type TokenLossSettings } from "../algorithm/token-loss.js";
import type { ForwardBackwardResult, OptimizerStepResult, TokenLogprobs } from "../policy/policy.js";
import type { SequenceOrigin, TrainingSequence } from "../rollout/records.js";

/** A mean that is NaN where nothing was counted. */
class Mean {
  #sum = 0;
  #count = 0;

  add(value: number): void {
    this.#sum += value;
    this.#count++;
  }

  get value(): number {
    return this.#sum / this.#count;
  }

  get sum(): number {
    return this.#sum;
  }

  get count(): number {
    return this.#count;
  }
}

/** Of the tokens of one kind of sequence. */
class OriginStatistics {
  readonly probability = new Mean();
  /** f(p). */
  readonly shapedProbability = new Mean();
  /** |∂L/∂log π|. */
  readonly gradient = new Mean();

  add(sequence: TrainingSequence, current: TokenLogprobs, settings: TokenLossSettings): void {
    for (const gradient of sequenceLoss(sequence, current, settings).logprobGradient) {
      this.gradient.add(Math.abs(gradient));
    }
    for (const logprob of current.logprobs) {
      this.probability.add(Math.exp(logprob));
      this.shapedProbability.add(shapeProbability(logprob, settings.shaping).value);
    }
  }
}

/** Trainer against sampler, over on-policy tokens. */
class SamplerStatistics {
  /** min(π / μ, cap). */
  readonly weight = new Mean();
  /** 1 where π / μ is above the cap. */
  readonly capped = new Mean();
  /** Estimates of KL(μ ‖ π): the tokens were drawn from μ. */
  readonly kl = new Mean();
  /** Largest π / μ; NaN without tokens. */
  maxRatio = Number.NaN;

  add(proximal: number, sampling: number, cap: number): void {
    const ratio = Math.exp(proximal - sampling);
    this.weight.add(importanceWeight(proximal, sampling, cap));
    this.capped.add(ratio > cap ? 1 : 0);
    this.kl.add(klEstimate(sampling, proximal).value);
    this.maxRatio = Number.isNaN(this.maxRatio) ? ratio : Math.max(this.maxRatio, ratio);
  }
}

/** What the guards did to a mini-batch. */
export interface GuardOutcome {
  /** Weight of off-policy sequences by annealing. */
  readonly annealing: number;
  /** … by the cap on their share of the gradient, beside it. */
  readonly shareScale: number;
  /** Tokens of the forward pass that measured the share. */
  readonly measuredTokens: number;
}

export interface MiniBatchOutcome {
  readonly result: ForwardBackwardResult<TrainingSequence>;
  readonly step: OptimizerStepResult;
  readonly settings: TokenLossSettings;
  readonly guards: GuardOutcome;
  readonly learningRate: number;
  /** The first one is computed with the very weights that sampled. */
  readonly isFirst: boolean;
}

export class UpdateStatistics {
  readonly loss = new Mean();
  readonly gradNorm = new Mean();
  readonly entropy = new Mean();
  readonly kl = new Mean();
  readonly clippedLow = new Mean();
  readonly clippedHigh = new Mean();
  /** |log π_θ − log π_old| of on-policy tokens in the first mini-batch: 0 but for rounding, unless rollouts are int8. */
  readonly logprobDifference = new Mean();
  maxLogprobDifference = Number.NaN;
  readonly byOrigin: Readonly<Record<SequenceOrigin, OriginStatistics>> = {
    initial: new OriginStatistics(),
    refinement: new OriginStatistics(),
    expert: new OriginStatistics(),
    critique: new OriginStatistics(),
  };
  /** Of the correction for a sampler that is not the trainer. */
  readonly sampler = new SamplerStatistics();
  readonly annealing = new Mean();
  readonly shareScale = new Mean();
  readonly importance = new Mean();
  /** 1 where the importance weight is at its cap. */
  readonly importanceCapped = new Mean();
  /** Rate of the last optimizer step. */
  learningRate = Number.NaN;
  /** Mini-batches, those without a step included. */
  optimizerSteps = 0;
  /** Steps whose gradient was not finite. */
  skipped = 0;
  /** Mini-batches that had nothing to train on. */
  empty = 0;
  /** Response tokens, that is those that carry loss. */
  trainedTokens = 0;
  /** Prompt and response tokens of every forward and backward pass, those that only measure included. */
  passedTokens = 0;
  /** Of the forward and backward passes of the loss; see `ForwardBackwardResult`. */
  readonly #computed = { tokens: 0, rows: 0, padding: 0 };

  addEmpty(miniBatches: number): void {
    this.empty += miniBatches;
    this.optimizerSteps += miniBatches;
  }

  /** A forward pass beside those of the mini-batches. */
  addForwardPass(sequences: readonly TrainingSequence[]): void {
    for (const { prompt, response } of sequences) this.passedTokens += prompt.length + response.length;
  }

  add({ result, step, settings, guards, learningRate, isFirst }: MiniBatchOutcome): void {
    this.loss.add(result.loss);
    this.gradNorm.add(step.gradNorm);
    this.learningRate = learningRate;
    this.optimizerSteps++;
    this.passedTokens += result.tokens + guards.measuredTokens;
    this.#computed.tokens += result.tokens;
    this.#computed.rows += result.computedTokens;
    this.#computed.padding += result.paddingTokens;
    this.annealing.add(guards.annealing);
    this.shareScale.add(guards.shareScale);
    if (step.skipped) this.skipped++;
    for (const { sequence, current } of result.sequences) {
      this.trainedTokens += sequence.response.length;
      for (const entropy of current.entropies) this.entropy.add(entropy);
      this.byOrigin[sequence.origin].add(sequence, current, settings);
      if (sequence.origin === "initial") this.#addInitial(sequence, current, settings, isFirst);
      if (settings.importanceCap !== null && sequence.samplingLogprobs !== null) {
        this.#addImportance(current, sequence.samplingLogprobs, settings.importanceCap);
      }
      if (sequence.referenceLogprobs === null) continue;
      this.passedTokens += sequence.prompt.length + sequence.response.length;
      this.#addKl(current, sequence.referenceLogprobs);
    }
  }

  /** Share of padding in what was computed; NaN if nothing was. */
  get paddingShare(): number {
    return this.#computed.padding / this.#computed.rows;
  }

  /** Share of the tokens that needed no computation because an identical prompt had been computed; NaN if none. */
  get sharedPromptShare(): number {
    const { tokens, rows, padding } = this.#computed;
    return 1 - (rows - padding) / tokens;
  }

  /** Share of a kind of sequence in Σ |∂L/∂log π| over all trained tokens. */
  gradientShare(origin: SequenceOrigin): number {
    const total = Object.values(this.byOrigin).reduce((sum, { gradient }) => sum + gradient.sum, 0);
    return this.byOrigin[origin].gradient.sum / total;
  }

  /** … in the number of trained tokens. */
  tokenShare(origin: SequenceOrigin): number {
    return this.byOrigin[origin].gradient.count / this.trainedTokens;
  }

  /** Mean probability of the trained tokens. */
  get probability(): number {
    const all = Object.values(this.byOrigin).reduce((sum, { probability }) => sum + probability.sum, 0);
    return all / this.trainedTokens;
  }

  #addInitial(sequence: TrainingSequence, current: TokenLogprobs, settings: TokenLossSettings, isFirst: boolean): void {
    for (let t = 0; t < current.logprobs.length; t++) {
      const logprob = current.logprobs[t]!;
      const old = sequence.oldLogprobs![t]!;
      const { samplerCap } = settings;
      const ratioTo = samplerCap === null ? old : proximalLogprob(sequence, logprob, t);
      if (samplerCap !== null) this.sampler.add(ratioTo, old, samplerCap);
      const { clipped } = ratioObjective(logprob, ratioTo, sequence.advantage, settings.clip);
      this.clippedLow.add(clipped === "low" ? 1 : 0);
      this.clippedHigh.add(clipped === "high" || clipped === "dual" ? 1 : 0);
      if (!isFirst) continue;
      const difference = Math.abs(logprob - old);
      this.logprobDifference.add(difference);
      // Math.max with NaN is NaN: start from the first value.
      this.maxLogprobDifference = Number.isNaN(this.maxLogprobDifference)
        ? difference
        : Math.max(this.maxLogprobDifference, difference);
    }
  }

  #addImportance(current: TokenLogprobs, sampling: Float32Array, cap: number): void {
    for (let t = 0; t < sampling.length; t++) {
      const weight = importanceWeight(current.logprobs[t]!, sampling[t]!, cap);
      this.importance.add(weight);
      this.importanceCapped.add(weight === cap ? 1 : 0);
    }
  }

  #addKl(current: TokenLogprobs, reference: Float32Array): void {
    for (let t = 0; t < reference.length; t++) this.kl.add(klEstimate(current.logprobs[t]!, reference[t]!).value);
  }
}
