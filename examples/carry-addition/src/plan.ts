/** How much of everything: the quickstart proper, and `--quick`, which only shows that the parts fit together. */
import type { SftSettings } from "critique-grpo";
import type { SplitSizes } from "./data.js";

export interface Plan {
  /** Too short to learn anything: a warm-up that did not converge is trained on all the same. */
  readonly rehearsal: boolean;
  readonly sizes: SplitSizes;
  readonly warmUp: WarmUpPlan;
  /** Overrides of the two YAML files, as after `--set`. */
  readonly overrides: readonly string[];
}

export interface WarmUpPlan {
  readonly steps: number;
  readonly batchSize: number;
  /** A warm-up that has not converged goes on for as many steps, this often at most. */
  readonly extensionSteps: number;
  readonly maxExtensions: number;
}

export const FULL_PLAN: Plan = {
  rehearsal: false,
  sizes: { train: 512, heldOut: 512, outOfDistribution: 256 },
  warmUp: { steps: 450, batchSize: 64, extensionSteps: 150, maxExtensions: 4 },
  overrides: [],
};

export const QUICK_PLAN: Plan = {
  rehearsal: true,
  sizes: { train: 32, heldOut: 32, outOfDistribution: 16 },
  warmUp: { steps: 10, batchSize: 16, extensionSteps: 5, maxExtensions: 1 },
  overrides: ["steps=3", "questionsPerStep=8", "evaluation.every=2", "evaluation.limit=16"],
};

/** Warm-up and cosine; an extension starts lower, from a model that has learnt most of it. */
export function warmUpOptimizer(first: boolean): SftSettings["optimizer"] {
  return {
    learningRate: first ? 4e-3 : 1.5e-3,
    schedule: "cosine",
    warmupSteps: first ? 50 : 10,
    finalFraction: 0.05,
    beta1: 0.9,
    beta2: 0.98,
    epsilon: 1e-8,
    weightDecay: 0.01,
    maxGradNorm: 1,
  };
}
