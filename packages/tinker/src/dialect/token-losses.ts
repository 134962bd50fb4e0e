import { InvalidArgumentError } from "../errors.js";
import type { NumberArray, TensorData } from "../protocol/tensors.js";

/** Loss of each token and its derivative with respect to the token's logprob; stop-gradient factors are constants. */
export interface TokenLosses {
  readonly losses: Float64Array;
  readonly gradients: Float64Array;
}

type Inputs = Readonly<Record<string, TensorData>>;
type Config = Readonly<Record<string, number>> | undefined;

/** Bounds of the probability ratio where a loss clips it, as the hosted service defaults them. */
const DEFAULT_CLIP = { ppo: { low: 0.8, high: 1.2 }, cispo: { low: 0, high: 4 } } as const;

/** Configuration of a loss with the hosted defaults filled in, so that it means the same on every server. */
export function completeLossConfig(lossFn: string, config: Config): Config {
  if (lossFn !== "cispo" && lossFn !== "ppo") return config;
  const { low, high } = DEFAULT_CLIP[lossFn];
  return { clip_low_threshold: low, clip_high_threshold: high, ...config };
}

/** Names of the loss inputs that a loss takes besides `target_tokens`; undefined for a loss this package does not know. */
export function lossInputNames(lossFn: string): readonly string[] | undefined {
  switch (lossFn) {
    case "cross_entropy":
      return ["weights"];
    case "importance_sampling":
    case "ppo":
    case "cispo":
    case "dro":
      return ["logprobs", "advantages"];
    default:
      return undefined;
  }
}

/**
 * Token losses by the service's definitions, with lp the current logprob of the target, q the `logprobs` input, A the
 * `advantages` and r = exp(lp - q): cross_entropy -w·lp; importance_sampling -r·A; ppo -min(r·A, clip(r)·A);
 * cispo -sg(clip(r))·lp·A; dro -(lp·A - β/2·(lp - q)²).
 * @param logprobs current logprobs of the datum's targets, length N
 * Throws {@link InvalidArgumentError} for an unknown loss.
 */
export function tokenLosses(lossFn: string, config: Config, logprobs: NumberArray, inputs: Inputs): TokenLosses {
  const length = logprobs.length;
  const losses = new Float64Array(length);
  const gradients = new Float64Array(length);
  const read = (name: string): NumberArray => {
    const tensor = inputs[name];
    if (tensor === undefined) throw new InvalidArgumentError(`${lossFn} needs the loss input "${name}"`);
    return tensor.data;
  };
  if (lossFn === "cross_entropy") {
    const weights = read("weights");
    for (let i = 0; i < length; i++) {
      // A weight of 0 masks the token, whatever its logprob is.
      losses[i] = weights[i] === 0 ? 0 : -weights[i]! * logprobs[i]!;
      gradients[i] = -weights[i]!;
    }
    return { losses, gradients };
  }
  const known = lossInputNames(lossFn);
  if (known === undefined) throw new InvalidArgumentError(`the loss "${lossFn}" is not known to this client`);
  const old = read("logprobs");
  const advantages = read("advantages");
  const complete = completeLossConfig(lossFn, config) ?? {};
  const low = complete.clip_low_threshold ?? 0;
  const high = complete.clip_high_threshold ?? Number.POSITIVE_INFINITY;
  const beta = complete.beta ?? 0.05;
  for (let i = 0; i < length; i++) {
    const advantage = advantages[i]!;
    if (advantage === 0 && lossFn !== "dro") continue;
    const difference = logprobs[i]! - old[i]!;
    const ratio = Math.exp(difference);
    const clipped = Math.min(Math.max(ratio, low), high);
    switch (lossFn) {
      case "importance_sampling":
        losses[i] = -ratio * advantage;
        gradients[i] = losses[i]!;
        break;
      case "ppo": {
        const free = ratio * advantage;
        const bounded = clipped * advantage;
        losses[i] = -Math.min(free, bounded);
        gradients[i] = free <= bounded ? -free : 0;
        break;
      }
      case "cispo":
        losses[i] = -clipped * logprobs[i]! * advantage;
        gradients[i] = -clipped * advantage;
        break;
      case "dro":
        losses[i] = -(logprobs[i]! * advantage - (beta / 2) * difference * difference);
        gradients[i] = -advantage + beta * difference;
        break;
    }
  }
  return { losses, gradients };
}
