/** Named sets of defaults. A YAML file chooses one with `preset:` and overrides what it likes. */
import type { RunConfigInput } from "./schema.js";

type DeepPartial<T> = T extends readonly unknown[] ? T : T extends object ? { [K in keyof T]?: DeepPartial<T[K]> } : T;

export type PresetName = "grpo" | "dr-grpo" | "critique-grpo";

/** What each preset is, for `--help` and the docs. */
export const presetDescriptions: Readonly<Record<PresetName, string>> = {
  grpo: "GRPO: advantages over the group's standard deviation, PPO clipping, mean over all tokens",
  "dr-grpo": "Dr. GRPO: no division by the standard deviation, constant length in the aggregation, PPO clipping",
  "critique-grpo":
    "Critique-GRPO: 7 initial responses and 1 selected refinement a question, shaped by p/(p + 0.1), no clipping",
};

export const presets: Readonly<Record<PresetName, DeepPartial<RunConfigInput>>> = {
  grpo: {
    critique: { type: "none" },
    refinement: { count: 0 },
    algorithm: {
      initialResponses: 8,
      advantage: "mean-std",
      clip: { low: 0.2, high: 0.2 },
      aggregation: "token-mean",
    },
  },
  "dr-grpo": {
    critique: { type: "none" },
    refinement: { count: 0 },
    algorithm: {
      initialResponses: 8,
      advantage: "mean",
      clip: { low: 0.2, high: 0.2 },
      aggregation: "constant-length",
    },
  },
  "critique-grpo": {
    critique: { type: "simple_gt" },
    refinement: { count: 1 },
    algorithm: {
      initialResponses: 7,
      advantage: "mean",
      clip: null,
      shaping: { type: "ratio", gamma: 0.1 },
      aggregation: "constant-length",
    },
  },
};
