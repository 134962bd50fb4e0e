import type { AdamWOptions, OptimizerStepResult } from "../types.js";
import type { ParameterStore } from "../weights/index.js";

/** First and second moments in the layout of the parameter arena, and the number of updates done. */
export interface AdamWState {
  readonly firstMoment: Float32Array;
  readonly secondMoment: Float32Array;
  step: number;
}

export function createAdamWState(store: ParameterStore): AdamWState {
  const size = store.data.length;
  return { firstMoment: new Float32Array(size), secondMoment: new Float32Array(size), step: 0 };
}

/** L2 norm over the whole gradient arena, summed in double precision. */
export function gradientNorm(gradients: Float32Array): number {
  // Four sums: they are independent, so the processor does not wait for each addition.
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  const even = gradients.length - (gradients.length % 4);
  for (let i = 0; i < even; i += 4) {
    a += gradients[i]! * gradients[i]!;
    b += gradients[i + 1]! * gradients[i + 1]!;
    c += gradients[i + 2]! * gradients[i + 2]!;
    d += gradients[i + 3]! * gradients[i + 3]!;
  }
  for (let i = even; i < gradients.length; i++) a += gradients[i]! * gradients[i]!;
  return Math.sqrt(a + b + c + d);
}

/**
 * One AdamW update (Loshchilov & Hutter 2019) with the gradient clipped to a global L2 norm; clears the gradient.
 * Follows torch.optim.AdamW and clip_grad_norm_ (scale = maxGradNorm / (norm + 1e-6), at most 1). A gradient whose
 * norm is not finite is dropped: weights, moments and step count stay as they are.
 */
export function adamWStep(store: ParameterStore, state: AdamWState, options: AdamWOptions): OptimizerStepResult {
  const gradNorm = gradientNorm(store.gradients);
  if (!Number.isFinite(gradNorm)) {
    store.gradients.fill(0);
    return { gradNorm, skipped: true };
  }
  state.step++;
  const clip = options.maxGradNorm > 0 ? Math.min(1, options.maxGradNorm / (gradNorm + 1e-6)) : 1;
  const coefficients = {
    clip,
    beta1: options.beta1,
    beta2: options.beta2,
    epsilon: options.epsilon,
    stepSize: options.learningRate / (1 - options.beta1 ** state.step),
    secondCorrection: 1 / Math.sqrt(1 - options.beta2 ** state.step),
  };
  for (const { offset, data, shape } of store.parameters.values()) {
    const keep = shape.length >= 2 ? 1 - options.learningRate * options.weightDecay : 1;
    update(store, state, offset, offset + data.length, keep, coefficients);
  }
  store.gradients.fill(0);
  return { gradNorm, skipped: false };
}

interface Coefficients {
  readonly clip: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly stepSize: number;
  readonly secondCorrection: number;
}

function update(
  store: ParameterStore,
  state: AdamWState,
  start: number,
  end: number,
  keep: number,
  { clip, beta1, beta2, epsilon, stepSize, secondCorrection }: Coefficients,
): void {
  const { data, gradients } = store;
  const { firstMoment, secondMoment } = state;
  const rest1 = 1 - beta1;
  const rest2 = 1 - beta2;
  for (let i = start; i < end; i++) {
    const gradient = gradients[i]! * clip;
    const first = beta1 * firstMoment[i]! + rest1 * gradient;
    const second = beta2 * secondMoment[i]! + rest2 * gradient * gradient;
    firstMoment[i] = first;
    secondMoment[i] = second;
    data[i] = keep * data[i]! - (stepSize * first) / (Math.sqrt(second) * secondCorrection + epsilon);
  }
}
