import { expect, test } from "vitest";
import { copyConfig } from "../testing/copy-task.js";
import { checkEngine } from "./engine-rules.js";
import { runSchema } from "./schema.js";

test("weights as they are stored, on a device that widens all of them, are refused", () => {
  const problems = (more: object) =>
    checkEngine(
      runSchema.parse(
        copyConfig({ engine: { type: "embedded", model: "m", lora: {}, frozenWeights: "stored", ...more } }),
      ),
    );
  expect(problems({})).toEqual([]);
  expect(problems({ device: "webgpu" })).toEqual([
    { path: ["engine", "frozenWeights"], message: expect.stringContaining("engine.device webgpu") },
  ]);
});
