import { addedTo } from "../differentiate.js";
import type { Value } from "../graph.js";
import { formatShape, type Shape } from "../shape.js";
import { add, exponential, multiply, negate, subtract } from "./elementwise.js";
import { reduceSum } from "./shape.js";

export interface TokenDistribution {
  /** log π of each target: [rows, 1]. */
  readonly logprob: Value;
  /** Entropy of each row's distribution in nats: [rows, 1]. */
  readonly entropy: Value;
  /** log-softmax of the logits: [rows, vocabulary]. */
  readonly logProbabilities: Value;
}

/**
 * Log-probability of the target and entropy of softmax(logits), with exact gradients of both:
 * ∂ℓ/∂z = onehot − p and ∂H/∂z = −p ⊙ (log p + H).
 * logits [rows, vocabulary], targets int64 [rows, 1].
 */
export function tokenDistribution(logits: Value, targets: Value): TokenDistribution {
  const graph = logits.graph;
  const [rows] = logits.shape;
  if (rows === undefined || logits.shape.length !== 2 || targets.shape[0] !== rows)
    throw new Error(`tokenDistribution: logits ${formatShape(logits.shape)}, targets ${formatShape(targets.shape)}.`);
  const column: Shape = [rows, 1];
  let logProbabilities: Value | undefined;
  const [logprob, entropy] = graph.differentiable(
    [logits],
    () => {
      logProbabilities = graph.node("LogSoftmax", [logits], [{ shape: logits.shape }], {
        attributes: { axis: -1n },
      })[0]!;
      const gathered = graph.node("GatherElements", [logProbabilities, targets], [{ shape: column }], {
        attributes: { axis: 1n },
      })[0]!;
      const plogp = multiply(exponential(logProbabilities), logProbabilities);
      return [gathered, negate(reduceSum(plogp, [1]))];
    },
    ([logprobGradient, entropyGradient]) => {
      if (!logprobGradient && !entropyGradient) return [];
      return [
        (previous) =>
          addedTo(previous, logitGradient(logProbabilities!, targets, entropy!, logprobGradient, entropyGradient)),
      ];
    },
  );
  return { logprob: logprob!, entropy: entropy!, logProbabilities: logProbabilities! };
}

/**
 * a ⊙ (onehot − p) − b ⊙ p ⊙ (log p + H) for column vectors a = ∂loss/∂logprob and b = ∂loss/∂entropy.
 * Exposed because the head runs it apart from its forward pass. Not recorded.
 */
export function logitGradient(
  logProbabilities: Value,
  targets: Value,
  entropy: Value,
  logprobGradient: Value | undefined,
  entropyGradient: Value | undefined,
): Value {
  const graph = logProbabilities.graph;
  const p = exponential(logProbabilities);
  // −(a + b (log p + H)), with the signs and the constant applied to the columns: they are small.
  let factor = logprobGradient && negate(logprobGradient);
  if (entropyGradient) {
    const slope = negate(entropyGradient);
    const constant = multiply(slope, entropy);
    factor = add(multiply(logProbabilities, slope), factor ? add(constant, factor) : constant);
  }
  if (!factor) throw new Error("logitGradient needs a gradient of the log-probability or of the entropy.");
  const smooth = multiply(p, factor);
  if (!logprobGradient) return smooth;
  return graph.node("ScatterElements", [smooth, targets, logprobGradient], [{ shape: smooth.shape }], {
    attributes: { axis: 1n, reduction: "add" },
  })[0]!;
}

/** log-softmax over the last axis. */
export function logSoftmax(x: Value): Value {
  let y: Value | undefined;
  const [result] = x.graph.differentiable(
    [x],
    () => {
      y = x.graph.node("LogSoftmax", [x], [{ shape: x.shape }], { attributes: { axis: -1n } })[0]!;
      return [y];
    },
    ([gradient]) =>
      gradient
        ? [
            (previous) =>
              addedTo(
                previous,
                subtract(gradient, multiply(exponential(y!), reduceSum(gradient, [x.shape.length - 1]))),
              ),
          ]
        : [],
  );
  return result!;
}
