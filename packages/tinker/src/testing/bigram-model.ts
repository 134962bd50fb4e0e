import { tokenLosses } from "../dialect/token-losses.js";
import type { SampledSequence, SamplingParams } from "../protocol/sampling.js";
import { inputTokens, type NumberArray } from "../protocol/tensors.js";
import type { AdamParams, Datum } from "../protocol/training.js";

/** Seeded uniform numbers in [0, 1) (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** How a server turns token losses into the objective. */
export type Reduction = "sum" | "datum-mean";

/** Everything that training changes. */
export interface TrainingState {
  weights: Float64Array;
  firstMoment: Float64Array;
  secondMoment: Float64Array;
  steps: number;
}

/**
 * A language model small enough to check by hand: the logits of the next token are the row of the current token in a V×V
 * matrix, base plus trained weights. Losses, gradients, Adam and sampling are exact.
 */
export class BigramModel {
  readonly base: Float64Array;
  state: TrainingState;
  gradient: Float64Array;
  /** Datums accumulated since the last step; what a "datum-mean" server divides by. */
  accumulatedDatums = 0;

  constructor(
    readonly vocabulary: number,
    seed = 1,
  ) {
    const random = seededRandom(seed);
    const size = vocabulary * vocabulary;
    this.base = Float64Array.from({ length: size }, () => random() * 2 - 1);
    this.state = {
      weights: new Float64Array(size),
      firstMoment: new Float64Array(size),
      secondMoment: new Float64Array(size),
      steps: 0,
    };
    this.gradient = new Float64Array(size);
  }

  /** Log-probabilities of every next token, length V. */
  logprobRow(token: number, weights = this.state.weights, temperature = 1): Float64Array {
    const start = token * this.vocabulary;
    const logits = Float64Array.from(
      { length: this.vocabulary },
      (_, i) => (this.base[start + i]! + weights[start + i]!) / temperature,
    );
    const top = logits.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
    const normaliser = top + Math.log(logits.reduce((total, value) => total + Math.exp(value - top), 0));
    return logits.map((value) => value - normaliser);
  }

  /** Log-probability of each target after its input token. */
  logprobs(inputs: NumberArray, targets: NumberArray, weights = this.state.weights): Float32Array {
    return Float32Array.from(targets, (target, i) => this.logprobRow(inputs[i]!, weights)[target]!);
  }

  /** Token losses of a datum; with `reduction` also adds the gradient of the objective to the accumulator. */
  pass(
    datum: Datum,
    lossFn: string,
    config: Readonly<Record<string, number>> | undefined,
    reduction?: Reduction,
  ): { logprobs: Float32Array; losses: Float64Array } {
    const inputs = inputTokens(datum.modelInput);
    const targets = datum.lossFnInputs.target_tokens!.data;
    const logprobs = this.logprobs(inputs, targets);
    const { losses, gradients } = tokenLosses(lossFn, config, logprobs, datum.lossFnInputs);
    if (reduction !== undefined) {
      const weights = datum.lossFnInputs.weights?.data;
      const divisor = reduction === "sum" ? 1 : Math.max(weights === undefined ? targets.length : sum(weights), 1e-9);
      for (let i = 0; i < targets.length; i++) this.addGradient(inputs[i]!, targets[i]!, gradients[i]! / divisor);
      this.accumulatedDatums++;
    }
    return { logprobs, losses };
  }

  /** ∂lp/∂logit_j = [j = target] - p_j. */
  private addGradient(input: number, target: number, factor: number): void {
    if (factor === 0) return;
    const start = input * this.vocabulary;
    const row = this.logprobRow(input);
    for (let j = 0; j < this.vocabulary; j++)
      this.gradient[start + j]! += factor * ((j === target ? 1 : 0) - Math.exp(row[j]!));
  }

  /** AdamW on the accumulated gradient, which is cleared; gives the norm of the gradient applied, before clipping. */
  step(adam: AdamParams, reduction: Reduction): number {
    const divisor = reduction === "sum" ? 1 : Math.max(this.accumulatedDatums, 1);
    const mean = this.gradient.map((value) => value / divisor);
    const norm = Math.hypot(...mean);
    const clip = adam.gradClipNorm > 0 && norm > adam.gradClipNorm ? adam.gradClipNorm / norm : 1;
    const { state } = this;
    state.steps++;
    const correction1 = 1 - adam.beta1 ** state.steps;
    const correction2 = 1 - adam.beta2 ** state.steps;
    for (let i = 0; i < mean.length; i++) {
      const value = mean[i]! * clip;
      state.firstMoment[i] = adam.beta1 * state.firstMoment[i]! + (1 - adam.beta1) * value;
      state.secondMoment[i] = adam.beta2 * state.secondMoment[i]! + (1 - adam.beta2) * value * value;
      const update = state.firstMoment[i]! / correction1 / (Math.sqrt(state.secondMoment[i]! / correction2) + adam.eps);
      state.weights[i]! -= adam.learningRate * (update + adam.weightDecay * state.weights[i]!);
    }
    this.gradient = new Float64Array(mean.length);
    this.accumulatedDatums = 0;
    return norm;
  }

  /** Samples one continuation. `scaled` reports logprobs of the temperature-scaled distribution, else of temperature 1. */
  sample(
    prompt: NumberArray,
    params: SamplingParams,
    seed: number,
    weights: Float64Array,
    scaled: boolean,
  ): SampledSequence {
    const random = seededRandom(seed);
    const tokens: number[] = [];
    const logprobs: number[] = [];
    const temperature = params.temperature ?? 1;
    let token = prompt[prompt.length - 1]!;
    let stopReason: "stop" | "length" = "length";
    while (tokens.length < params.maxTokens) {
      const plain = this.logprobRow(token, weights);
      const row = temperature === 0 ? plain : this.logprobRow(token, weights, temperature);
      let next = temperature === 0 ? plain.indexOf(Math.max(...plain)) : 0;
      if (temperature !== 0) {
        let left = random();
        while (next < row.length - 1 && left >= Math.exp(row[next]!)) left -= Math.exp(row[next++]!);
      }
      tokens.push(next);
      logprobs.push((scaled ? row : plain)[next]!);
      if (params.stop?.some((stop) => stop === next) === true) {
        stopReason = "stop";
        break;
      }
      token = next;
    }
    return { stopReason, tokens: Int32Array.from(tokens), logprobs: Float32Array.from(logprobs) };
  }
}

export function copyState(state: TrainingState): TrainingState {
  return {
    weights: state.weights.slice(),
    firstMoment: state.firstMoment.slice(),
    secondMoment: state.secondMoment.slice(),
    steps: state.steps,
  };
}

function sum(values: NumberArray): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
