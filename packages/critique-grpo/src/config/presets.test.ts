import { describe, expect, it } from "vitest";
import { presetDescriptions, presets } from "./presets.js";
import { checkRunConfig } from "./run.js";
import { runSchema } from "./schema.js";

const required = {
  engine: { type: "embedded", model: "model" },
  data: { files: "data.jsonl" },
  steps: 1,
  reward: { functions: [{ name: "exact-match" }] },
} as const;

describe("presets", () => {
  it.each(Object.keys(presets) as (keyof typeof presets)[])("%s is a valid configuration and described", (name) => {
    const preset = presets[name];
    // Whose words they are, the user says.
    const critique = preset.critique?.type === "program" ? { type: "program", module: "critic.ts" } : preset.critique;
    const config = runSchema.parse({ ...required, ...preset, critique });
    expect(config).toMatchObject({ ...preset, critique });
    expect(checkRunConfig(config)).toEqual([]);
    expect(presetDescriptions[name].length).toBeGreaterThan(20);
  });

  it("critique-grpo is the paper's: 7 + 1 responses, shaped refinements, no clipping", () => {
    const config = runSchema.parse({ ...required, ...presets["critique-grpo"] });
    expect(config.algorithm.initialResponses + config.refinement.count).toBe(8);
    expect(config).toMatchObject({
      critique: { type: "simple_gt" },
      refinement: { count: 1, stopWhenFound: true, onlyCorrect: false },
      algorithm: {
        advantage: "mean",
        clip: null,
        shaping: { type: "ratio", gamma: 0.1 },
        aggregation: "constant-length",
        entropyCoefficient: 0.001,
        klCoefficient: 0,
      },
      optimizer: { learningRate: 1e-6, schedule: "constant", weightDecay: 0.01, maxGradNorm: 1 },
      questionsPerStep: 128,
      miniBatches: 2,
      sampling: { temperature: 1, topK: 0, topP: 1 },
    });
  });
});
