/** Which curves stand together on the overview, and what they tell. */

export type ValueFormat = "number" | "percent" | "seconds";

export interface CurveSpec {
  readonly metric: string;
  readonly label: string;
}

export interface ChartSpec {
  readonly title: string;
  readonly meaning: string;
  readonly format: ValueFormat;
  readonly curves: readonly CurveSpec[];
  /** Lower end of the axis where the data do not go below it. */
  readonly minimum?: number | undefined;
}

export const CHARTS: readonly ChartSpec[] = [
  {
    title: "Reward",
    meaning: "Mean reward of first answers, and of training groups with their refinements",
    format: "number",
    curves: [
      { metric: "reward", label: "first answers" },
      { metric: "reward/group_mean", label: "training groups" },
    ],
  },
  {
    title: "Accuracy: first answers and refinements",
    meaning: "The distance between the curves is what critiques add; training should close it from below",
    format: "percent",
    minimum: 0,
    curves: [
      { metric: "initial_accuracy", label: "first answers" },
      { metric: "refinement/accuracy", label: "refinements" },
      { metric: "refinement/kept_accuracy", label: "kept refinements" },
    ],
  },
  {
    title: "Fixed and broken by refining",
    meaning: "Of refined wrong answers: how many became right. Of refined right ones: how many became wrong",
    format: "percent",
    minimum: 0,
    curves: [
      { metric: "refinement/fix_rate", label: "fixed" },
      { metric: "refinement/break_rate", label: "broken" },
    ],
  },
  {
    title: "Entropy",
    meaning: "Nats a token. Unbounded growth is the reported collapse; near zero, nothing is left to explore",
    format: "number",
    minimum: 0,
    curves: [{ metric: "entropy", label: "entropy" }],
  },
  {
    title: "KL to the reference",
    meaning: "How far the policy has gone from its start",
    format: "number",
    minimum: 0,
    curves: [{ metric: "kl", label: "KL" }],
  },
  {
    title: "Response length",
    meaning: "Tokens, mean",
    format: "number",
    minimum: 0,
    curves: [
      { metric: "completions/mean_length", label: "first answers" },
      { metric: "refinement/mean_length", label: "refinements" },
    ],
  },
  {
    title: "Refinement share of the gradient",
    meaning: "How much of the update is off-policy",
    format: "percent",
    minimum: 0,
    curves: [
      { metric: "refinement/gradient_share", label: "of the gradient" },
      { metric: "refinement/token_share", label: "of the tokens" },
    ],
  },
  {
    title: "Refinements to the policy",
    meaning: "Mean probability of refinement tokens given the bare question, and the shaped f(p): rising = taken up",
    format: "number",
    minimum: 0,
    curves: [
      { metric: "refinement/mean_probability", label: "p" },
      { metric: "refinement/shaped_probability", label: "f(p)" },
    ],
  },
  {
    title: "Groups that teach nothing",
    meaning: "Groups whose rewards are all equal, and answers that were cut off",
    format: "percent",
    minimum: 0,
    curves: [
      { metric: "frac_reward_zero_std", label: "equal rewards" },
      { metric: "completions/clipped_ratio", label: "cut off" },
    ],
  },
  {
    title: "Critic",
    meaning: "Share of critiques with the verifier's verdict, and of those that give the answer away",
    format: "percent",
    minimum: 0,
    curves: [
      { metric: "critique/agreement", label: "agrees" },
      { metric: "critique/leak_rate", label: "leaks" },
    ],
  },
  {
    title: "Critic latency",
    meaning: "Seconds from the request to its answer, mean",
    format: "seconds",
    minimum: 0,
    curves: [{ metric: "critique/mean_latency", label: "mean" }],
  },
  {
    title: "Gradient norm",
    meaning: "Before clipping",
    format: "number",
    minimum: 0,
    curves: [{ metric: "grad_norm", label: "norm" }],
  },
  {
    title: "Loss",
    meaning: "Cross-entropy in supervised training; in reinforcement learning only its gradient matters",
    format: "number",
    curves: [{ metric: "loss", label: "loss" }],
  },
  {
    title: "Tokens a second",
    meaning: "Generated and trained tokens over the seconds of the step",
    format: "number",
    minimum: 0,
    curves: [{ metric: "tokens_per_second", label: "tokens/s" }],
  },
  {
    title: "Time by phase",
    meaning: "Seconds of a step",
    format: "seconds",
    minimum: 0,
    curves: [
      { metric: "seconds/step", label: "step" },
      { metric: "seconds/sample", label: "sample" },
      { metric: "seconds/refine", label: "refine" },
      { metric: "seconds/critique", label: "critique" },
      { metric: "seconds/reward", label: "reward" },
      { metric: "seconds/reference", label: "reference" },
      { metric: "seconds/update", label: "update" },
    ],
  },
];
