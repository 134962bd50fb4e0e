import type { Dialect } from "../dialect/dialect.js";
import { DialectError, InvalidArgumentError } from "../errors.js";
import type { AdamParams } from "../protocol/training.js";

/** SkyRL-train's own optimizer settings, as long as its configuration does not change them. */
export const SKYRL_TRAIN_OPTIMIZER: Omit<AdamParams, "learningRate"> = {
  beta1: 0.9,
  beta2: 0.999,
  eps: 1e-8,
  weightDecay: 0.01,
  gradClipNorm: 1,
};

/**
 * Refuses optimizer settings that a server would ignore without a word.
 * @param server settings of a server that honours the learning rate only
 */
export function checkOptimizer(dialect: Dialect, adam: AdamParams, server: Omit<AdamParams, "learningRate">): void {
  for (const [name, value] of Object.entries(adam) as [keyof AdamParams, number][]) {
    const below1 = name === "beta1" || name === "beta2";
    if (!(value >= 0) || !Number.isFinite(value) || (below1 && value >= 1) || (name === "eps" && value === 0)) {
      throw new InvalidArgumentError(
        `optimStep: ${name} is ${value}; expected ${below1 ? "0 ≤ value < 1" : name === "eps" ? "a number above 0" : "a number ≥ 0"}`,
      );
    }
  }
  switch (dialect.optimizer) {
    case "all":
      return;
    case "no-clipping":
      if (adam.gradClipNorm !== 0) {
        throw new DialectError(
          `${dialect.name} ignores gradClipNorm (${adam.gradClipNorm} asked for): set it to 0 and bound the gradient in the loss`,
        );
      }
      return;
    case "learning-rate-only":
      for (const name of Object.keys(server) as (keyof typeof server)[]) {
        if (adam[name] !== server[name]) {
          throw new DialectError(
            `${dialect.name} takes only the learning rate from a request: ${name} would be ${server[name]} instead of ${adam[name]}. ` +
              `Ask for ${server[name]}, or set trainer.policy.optimizer_config on the server and the option serverOptimizer here`,
          );
        }
      }
      return;
    default:
      dialect.optimizer satisfies never;
  }
}
