/** Both stages of the example, a step each, on verl's own files. `node dist/train.js` runs them in full. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { loadRunConfig, openConfiguredPolicy, prepareRun, train } from "critique-grpo";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { prepareTokenizer } from "./prepare.js";

const EXAMPLE = resolve(import.meta.dirname, "..");
const MODEL = resolve(EXAMPLE, "../../../shared/data/verl-digit-completion");
const PARAMETERS = 795_776;

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "verl-digit-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

async function oneStep(file: string, model: string) {
  const overrides = [
    `engine.model=${model}`,
    `tokenizer.path=${join(directory, "tokenizer")}`,
    ...[
      "steps=1",
      "questionsPerStep=8",
      "algorithm.initialResponses=4",
      "optimizer.warmupSteps=0",
      "evaluation.limit=4",
    ],
  ];
  const { config } = loadRunConfig({ file: join(EXAMPLE, file), overrides });
  const run = await prepareRun(config);
  const policy = await openConfiguredPolicy(config);
  try {
    expect(policy.info.parameterCount).toBe(PARAMETERS);
    const result = await train({ ...run, policy, runDirectory: join(directory, file) });
    return { run, config, model: result.model!, metrics: result.metrics! };
  } finally {
    await policy.close();
  }
}

describe.skipIf(!existsSync(MODEL))("verl's digit completion (needs ../shared/data/verl-digit-completion)", () => {
  it("reads verl's directory and prompts, and trains both stages", async () => {
    prepareTokenizer(MODEL, join(directory, "tokenizer"));
    const first = await oneStep("first-number.yaml", MODEL);
    expect(first.run.codec.stopTokens).toEqual([0, 1, 2, 3]);
    // "8,3:9,4" and the separator that verl's template puts at the end.
    expect(first.run.codec.encodeChat([{ role: "user", content: "8,3:9,4" }])).toEqual([12, 14, 7, 15, 13, 14, 8, 0]);
    // The others ask for no number at all.
    expect(first.run.questions).toHaveLength(722);
    expect(first.metrics["completions/max_length"]).toBe(1);
    expect(first.metrics["sampling/logp_difference_max"]).toBeLessThan(1e-4);

    const second = await oneStep("whole-answer.yaml", first.model);
    expect(second.run.questions).toHaveLength(800);
    expect(second.metrics["completions/max_length"]).toBeGreaterThan(1);
    expect(second.metrics.grad_norm).toBeGreaterThan(0);
  });
});
