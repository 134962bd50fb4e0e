import { describe, expect, it } from "vitest";
import { type RunConfigInput, runSchema } from "../../config/schema.js";
import { copyConfig, copyPolicy } from "../../testing/copy-task.js";
import { describePlan } from "./plan.js";

describe("the plan of a run", () => {
  const engine = { type: "embedded", model: { config: "unused" } } as const;
  const int8 = { ...engine, rolloutPrecision: "int8" } as const;
  const corrected = { algorithm: { initialResponses: 3, samplerCorrection: {} } };

  it.each<[Partial<RunConfigInput>, string | null]>([
    [{}, null],
    [{ engine: { ...engine, rolloutPrecision: "float32" } }, null],
    [{ engine: int8 }, "in int8, no correction (algorithm.samplerCorrection)"],
    [{ engine: int8, ...corrected }, "in int8, tokens weighed by π / μ up to 2"],
    [corrected, "tokens weighed by π / μ up to 2"],
  ])("tells how rollouts differ from the trained policy: %j", (overrides, expected) => {
    const plan = describePlan(runSchema.parse(copyConfig(overrides)), null, copyPolicy().info, "runs/x");
    const row = plan.split("\n").find((line) => line.trimStart().startsWith("rollouts"));
    expect(row?.replace(/^\s*rollouts\s+/, "") ?? null).toBe(expected);
  });
});
