/**
 * Named sets of defaults: the method, its baselines and its ablations. A YAML file chooses one with `preset:` and
 * overrides what it likes. docs/algorithm.md tells which equation of which paper each is.
 */
import type { RunConfigInput } from "./schema.js";

type DeepPartial<T> = T extends readonly unknown[] ? T : T extends object ? { [K in keyof T]?: DeepPartial<T[K]> } : T;

type Preset = DeepPartial<RunConfigInput>;

/** What each preset is, for `--help` and the docs. */
export const presetDescriptions = {
  grpo: "GRPO: advantages over the group's standard deviation, PPO clipping, mean over all tokens",
  "dr-grpo": "Dr. GRPO: no division by the standard deviation, constant length in the aggregation, PPO clipping",
  luffy: "LUFFY: 7 initial responses and the reference solution of each question, shaped by p/(p + 0.1), no clipping",
  "critique-grpo":
    "Critique-GRPO: 7 initial responses and 1 selected refinement a question, shaped by p/(p + 0.1), no clipping; critiques tell right or wrong and the gold answer",
  "critique-grpo-simple": "Critique-GRPO whose critiques tell right or wrong alone",
  "critique-grpo-text":
    "Critique-GRPO with critiques in words, written by your function (critique.module); set critique.type for another critic",
  "critique-grpo-self": "Critique-GRPO whose policy criticises its own responses",
  "critique-grpo-no-shaping": "Ablation of Critique-GRPO: the plain probability of a refinement's tokens, f(p) = p",
  "critique-grpo-no-selection": "Ablation of Critique-GRPO: a random refinement is kept, whatever its reward",
  "critique-grpo-refinements-only": "Ablation of Critique-GRPO: groups of 8 refinements, no initial response",
  "critique-grpo-k2": "Critique-GRPO with 6 initial responses and 2 selected refinements a question",
  sft: "Supervised fine-tuning on the reference solutions, question by question as the other presets see them",
  raft: "RAFT: supervised fine-tuning on the policy's own right responses, 8 tries a question",
  "refinement-ft": "Supervised fine-tuning on right refinements as answers to the bare question, of 8 tries",
  "critique-ft": "Critique Fine-Tuning: supervised on the critiques of the policy's own responses, 8 a question",
  "critique-in-the-loop-ft": "Supervised fine-tuning on the policy's own right responses and its right refinements",
} as const satisfies Readonly<Record<string, string>>;

export type PresetName = keyof typeof presetDescriptions;

const critiqueGrpo = {
  critique: { type: "simple_gt" },
  refinement: { count: 1 },
  algorithm: {
    initialResponses: 7,
    advantage: "mean",
    clip: null,
    shaping: { type: "ratio", gamma: 0.1 },
    aggregation: "constant-length",
  },
} as const satisfies Preset;

/** Cross-entropy: the mean over all target tokens of a mini-batch. */
const crossEntropy = {
  objective: "supervised",
  clip: null,
  aggregation: "token-mean",
  entropyCoefficient: 0,
} as const satisfies Preset["algorithm"];

const rewardAlone = { critique: { type: "none" }, refinement: { count: 0 } } as const satisfies Preset;

/** All refinements that are right, of as many as there are initial responses. */
const everyRightRefinement = { count: 8, onlyCorrect: true } as const satisfies Preset["refinement"];

export const presets: Readonly<Record<PresetName, Preset>> = {
  grpo: {
    ...rewardAlone,
    algorithm: {
      initialResponses: 8,
      advantage: "mean-std",
      clip: { low: 0.2, high: 0.2 },
      aggregation: "token-mean",
    },
  },
  "dr-grpo": {
    ...rewardAlone,
    algorithm: {
      initialResponses: 8,
      advantage: "mean",
      clip: { low: 0.2, high: 0.2 },
      aggregation: "constant-length",
    },
  },
  luffy: { ...rewardAlone, group: { expert: true }, algorithm: critiqueGrpo.algorithm },
  "critique-grpo": critiqueGrpo,
  "critique-grpo-simple": { ...critiqueGrpo, critique: { type: "simple" } },
  "critique-grpo-text": { ...critiqueGrpo, critique: { type: "program" } },
  "critique-grpo-self": { ...critiqueGrpo, critique: { type: "self" } },
  "critique-grpo-no-shaping": {
    ...critiqueGrpo,
    algorithm: { ...critiqueGrpo.algorithm, shaping: { type: "none" } },
  },
  "critique-grpo-no-selection": { ...critiqueGrpo, refinement: { count: 1, selection: "random" } },
  "critique-grpo-refinements-only": {
    ...critiqueGrpo,
    refinement: { count: 8 },
    group: { initial: "none" },
    algorithm: { ...critiqueGrpo.algorithm, initialResponses: 8 },
  },
  "critique-grpo-k2": {
    ...critiqueGrpo,
    refinement: { count: 2 },
    algorithm: { ...critiqueGrpo.algorithm, initialResponses: 6 },
  },
  sft: {
    ...rewardAlone,
    group: { initial: "none", expert: true },
    algorithm: { ...crossEntropy, initialResponses: 0 },
  },
  raft: { ...rewardAlone, group: { initial: "correct" }, algorithm: { ...crossEntropy, initialResponses: 8 } },
  "refinement-ft": {
    critique: { type: "simple_gt" },
    refinement: everyRightRefinement,
    group: { initial: "none" },
    algorithm: { ...crossEntropy, initialResponses: 8 },
  },
  "critique-ft": {
    critique: { type: "program" },
    refinement: { count: 0 },
    group: { initial: "none", critiques: true },
    algorithm: { ...crossEntropy, initialResponses: 8 },
  },
  "critique-in-the-loop-ft": {
    critique: { type: "simple_gt" },
    refinement: everyRightRefinement,
    group: { initial: "correct" },
    algorithm: { ...crossEntropy, initialResponses: 8 },
  },
};
