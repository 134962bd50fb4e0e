/** The stages of the example, a step each, on verl's own files. `node dist/train.js` runs them in full. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { loadRunConfig, openConfiguredPolicy, prepareRun, train } from "critique-grpo";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { prepareQuestions, prepareTokenizer } from "./prepare.js";

const EXAMPLE = resolve(import.meta.dirname, "..");
const MODEL = resolve(EXAMPLE, "../../../shared/data/verl-digit-completion");
const PARAMETERS = 795_776;

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "verl-digit-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

async function oneStep(file: string, model: string, data: readonly string[] = []) {
  const overrides = [
    ...data,
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
  it("reads verl's directory and prompts, and trains every stage", async () => {
    prepareTokenizer(MODEL, join(directory, "tokenizer"));
    await prepareQuestions(MODEL, directory);
    const first = await oneStep("next-number.yaml", MODEL, [`data.files=${join(directory, "next-number.jsonl")}`]);
    expect(first.run.codec.stopTokens).toEqual([0, 1, 2, 3]);
    // "8,3:9,4" and the separator that verl's template puts at the end.
    expect(first.run.codec.encodeChat([{ role: "user", content: "8,3:9,4" }])).toEqual([12, 14, 7, 15, 13, 14, 8, 0]);
    expect(first.metrics["completions/max_length"]).toBe(1);
    expect(first.metrics["sampling/logp_difference_max"]).toBeLessThan(1e-4);
    // The responses to a question share their input.
    expect(first.metrics["tokens/in_training"]).toBeLessThan(8 * 32);

    const second = await oneStep("next-token.yaml", first.model, [`data.files=${join(directory, "next-token.jsonl")}`]);
    expect(second.run.questions.some(({ gold }) => gold === "E")).toBe(true);

    const third = await oneStep("whole-answer.yaml", second.model);
    expect(third.run.questions).toHaveLength(800);
    expect(third.metrics["completions/max_length"]).toBeGreaterThan(1);
    expect(third.metrics.grad_norm).toBeGreaterThan(0);
  });
});
