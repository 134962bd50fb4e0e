/** Signs that a run goes wrong, read off its metrics. Thresholds are where a person would want to look, not proofs. */
import type { HealthFlag } from "@critique-grpo/dashboard";
import type { ObservedStatus } from "../../run/status.js";
import type { MetricsIndex } from "../data/metrics-index.js";

/** Steps looked at, as far as there are so many: a single bad step is no sign. */
const WINDOW = 20;
/** Trends need two windows that do not overlap. */
const TREND_STEPS = 2 * WINDOW;

interface Rule extends Omit<HealthFlag, "title"> {
  /** What is the case, with numbers; null if nothing is. */
  readonly finding: (windows: Windows) => string | null;
}

interface Windows {
  /** Mean over the newest steps. */
  readonly recent: (metric: string) => number;
  /** Mean over the first steps; NaN until the run is long enough to have a trend. */
  readonly early: (metric: string) => number;
  /** The best mean of any window before. */
  readonly best: (metric: string) => number;
}

const percent = (value: number) => `${(100 * value).toFixed(value < 0.1 ? 1 : 0)} %`;
const short = (value: number) => value.toPrecision(2);

const RULES: readonly Rule[] = [
  {
    kind: "entropy-growth",
    severity: "problem",
    metric: "entropy",
    meaning:
      "The policy becomes random: the reported collapse of critique training begins like this, driven by refinements that are far from what the model would say.",
    remedy: "refinement.onlyCorrect: true, a KL term (algorithm.klCoefficient) or a smaller learning rate.",
    finding: ({ recent, early }) => {
      const [now, then] = [recent("entropy"), early("entropy")];
      return now > 2 * then && now > 0.5 ? `Entropy grew from ${short(then)} to ${short(now)} nats` : null;
    },
  },
  {
    kind: "entropy-collapse",
    severity: "warning",
    metric: "entropy",
    meaning: "The responses to a question are all alike: nothing is left to compare, and learning stops.",
    remedy: "A larger algorithm.entropyCoefficient, a higher sampling temperature, or harder questions.",
    finding: ({ recent, early }) => {
      const [now, then] = [recent("entropy"), early("entropy")];
      return now < 0.1 * then && now < 0.02 ? `Entropy fell from ${short(then)} to ${short(now)} nats` : null;
    },
  },
  {
    kind: "kl-growth",
    severity: "problem",
    metric: "kl",
    meaning: "The policy runs away from the reference model.",
    remedy: "A larger algorithm.klCoefficient, a smaller learning rate, or refinement.onlyCorrect: true.",
    finding: ({ recent, early }) => {
      const [now, then] = [recent("kl"), early("kl")];
      return now > 0.5 && now > 10 * then ? `KL grew from ${short(then)} to ${short(now)}` : null;
    },
  },
  {
    kind: "accuracy-drop",
    severity: "problem",
    metric: "initial_accuracy",
    meaning: "The policy has unlearned what it could do before.",
    remedy: "Go back to a checkpoint before the drop and train on with a smaller learning rate.",
    finding: ({ recent, best }) => {
      const [now, then] = [recent("initial_accuracy"), best("initial_accuracy")];
      return now < 0.7 * then && now < then - 0.1 ? `Accuracy fell from ${percent(then)} to ${percent(now)}` : null;
    },
  },
  {
    kind: "all-zero-groups",
    severity: "warning",
    metric: "frac_reward_zero_std",
    meaning: "All responses of these groups earn the same: their advantages are zero and they teach nothing.",
    remedy:
      "Questions that fit the model's ability, more responses a question, or critiques that solve what the model cannot.",
    finding: ({ recent }) => {
      const now = recent("frac_reward_zero_std");
      return now > 0.8 ? `${percent(now)} of the groups have equal rewards` : null;
    },
  },
  {
    kind: "truncation",
    severity: "warning",
    metric: "completions/clipped_ratio",
    meaning: "Responses are cut off before they reach an answer, and count as wrong.",
    remedy: "A larger sampling.maxTokens, or a reward that prefers short answers (length).",
    finding: ({ recent }) => {
      const now = recent("completions/clipped_ratio");
      return now > 0.25 ? `${percent(now)} of the responses are cut off` : null;
    },
  },
  {
    kind: "critic-failures",
    severity: "warning",
    metric: "critique/failures",
    meaning: "The critic failed and its critiques were replaced by the plain sentence with the gold answer.",
    remedy: "The reasons are in the groups (filter: critic failed).",
    finding: ({ recent }) => {
      const share = recent("critique/failures") / recent("critique/count");
      return share > 0.02 ? `${percent(share)} of the critiques failed` : null;
    },
  },
  {
    kind: "reward-failures",
    severity: "problem",
    metric: "reward/failures",
    meaning: "The reward function threw or returned no number; these responses count as wrong whatever they say.",
    remedy: "The reasons are in the groups (filter: reward failed).",
    finding: ({ recent }) => {
      const now = recent("reward/failures");
      return now > 0 ? `${short(now)} responses a step could not be scored` : null;
    },
  },
  {
    kind: "skipped-updates",
    severity: "problem",
    metric: "skipped_updates",
    meaning: "The gradient was not finite: the step was skipped and the weights stayed as they were.",
    remedy: "A smaller learning rate; look at grad_norm and entropy just before.",
    finding: ({ recent }) => {
      const now = recent("skipped_updates");
      return now > 0 ? `${short(now)} optimizer steps a step were skipped` : null;
    },
  },
  {
    kind: "sampler-mismatch",
    severity: "problem",
    metric: "sampling/logp_difference",
    meaning: "Sampler and trainer disagree about the probability of the same tokens: importance ratios are wrong.",
    remedy:
      "Check that both use the same weights, temperature and precision; a difference of precision is what algorithm.samplerCorrection is for.",
    finding: ({ recent }) => {
      const now = recent("sampling/logp_difference");
      const corrected = Number.isFinite(recent("sampling/importance_weight"));
      return now > 0.1 && !corrected ? `Log-probabilities differ by ${short(now)} on average` : null;
    },
  },
  {
    kind: "unabsorbed-refinements",
    severity: "warning",
    metric: "refinement/mean_probability",
    meaning: "Refinements are right, but the policy finds them less and less likely: it does not take them up.",
    remedy: "A KL term, a smaller learning rate, or algorithm.shaping with a larger γ.",
    finding: ({ recent, early }) => {
      const [now, then] = [recent("refinement/mean_probability"), early("refinement/mean_probability")];
      const right = recent("refinement/kept_accuracy");
      return now < 0.5 * then && right > 0.5
        ? `Mean probability of refinement tokens fell from ${short(then)} to ${short(now)}`
        : null;
    },
  },
];

/** What deserves attention, problems first. */
export function healthFlags(metrics: MetricsIndex, status: ObservedStatus | null): HealthFlag[] {
  const windows = windowsOf(metrics);
  const flags: HealthFlag[] = [...stateFlags(status)];
  for (const { finding, ...rule } of RULES) {
    const title = finding(windows);
    if (title !== null) flags.push({ ...rule, title });
  }
  return flags.sort((a, b) => Number(b.severity === "problem") - Number(a.severity === "problem"));
}

function stateFlags(status: ObservedStatus | null): HealthFlag[] {
  if (status?.state === "failed") {
    return [
      {
        kind: "failed",
        severity: "problem",
        title: "The run ended with an error",
        meaning: status.error ?? "It left no message.",
        remedy: "After mending the cause: critique-grpo train --resume, which goes on from the newest checkpoint.",
        metric: null,
      },
    ];
  }
  if (status?.state !== "crashed") return [];
  return [
    {
      kind: "crashed",
      severity: "problem",
      title: "The process is gone",
      meaning: `Its last heartbeat came at ${status.heartbeatAt}: it was killed, ran out of memory, or the machine went down.`,
      remedy:
        "critique-grpo train --resume goes on from the newest checkpoint, to the same weights as without the crash.",
      metric: null,
    },
  ];
}

function windowsOf(metrics: MetricsIndex): Windows {
  const { rows } = metrics;
  return {
    recent: (metric) => metrics.mean(metric, rows - WINDOW, rows),
    early: (metric) => (rows < TREND_STEPS ? Number.NaN : metrics.mean(metric, 0, WINDOW)),
    best: (metric) => {
      let best = Number.NaN;
      for (let end = WINDOW; end <= rows - WINDOW; end += WINDOW) {
        const mean = metrics.mean(metric, end - WINDOW, end);
        if (!(best >= mean)) best = Number.isNaN(mean) ? best : mean;
      }
      return best;
    },
  };
}
