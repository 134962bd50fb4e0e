/** One whole step of each kind of policy gradient on real questions. No learning is expected: it is the pipeline that is tested. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { loadRunConfig, openConfiguredPolicy, prepareRun, train } from "critique-grpo";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { gsm8kTokenizer, MODEL_DIRECTORY } from "./tokenizer.js";

const EXAMPLE = resolve(import.meta.dirname, "..");
const DATA = resolve(EXAMPLE, "../../../shared/data/gsm8k");

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "gsm8k-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

interface Rollout {
  readonly question: { readonly gold: string; readonly text: string };
  readonly initial: readonly { readonly tokens: readonly number[]; readonly critique?: { readonly text: string } }[];
  readonly refinements: readonly { readonly kept: boolean; readonly promptTokens: number }[];
}

async function runOneStep(preset: string) {
  const { config } = loadRunConfig({
    file: join(EXAMPLE, "run.yaml"),
    overrides: [`preset=${preset}`, "evaluation.limit=2"],
  });
  const run = await prepareRun(config);
  const policy = await openConfiguredPolicy(config);
  try {
    const runDirectory = join(directory, preset);
    const result = await train({ ...run, policy, runDirectory });
    const rollouts = readFileSync(join(runDirectory, "rollouts/step-000001.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Rollout);
    return { config, result, rollouts };
  } finally {
    await policy.close();
  }
}

describe.skipIf(!existsSync(DATA))("GSM8K (needs ../shared/data/gsm8k)", () => {
  it.each(["grpo", "dr-grpo", "luffy", "critique-grpo"])("one step of %s", async (preset) => {
    const { config, result, rollouts } = await runOneStep(preset);
    expect(result).toMatchObject({ step: 1, interrupted: false });
    const metrics = result.metrics!;
    expect(metrics["completions/max_length"]).toBeLessThanOrEqual(64);
    expect(metrics.grad_norm).toBeGreaterThan(0);
    expect(metrics.skipped_updates).toBe(0);
    // The sampler's logprobs are the trainer's: the first ratio is 1.
    expect(metrics["sampling/logp_difference_max"]).toBeLessThan(1e-4);

    expect(rollouts).toHaveLength(4);
    for (const { question, initial, refinements } of rollouts) {
      expect(question.gold).toMatch(/^-?[\d,.]+$/);
      expect(initial).toHaveLength(config.algorithm.initialResponses);
      expect(refinements.filter(({ kept }) => kept)).toHaveLength(config.refinement.count);
      for (const { promptTokens } of refinements) expect(promptTokens).toBeGreaterThan(question.text.length);
      const critiques = initial.flatMap(({ critique }) => (critique ? [critique.text] : []));
      for (const text of critiques) expect(text).toContain(`the ground truth is ${question.gold}.`);
      if (config.refinement.count > 0) expect(critiques.length).toBeGreaterThan(0);
    }
    expect(existsSync(join(result.model!, "tokenizer_config.json"))).toBe(true);
  });
});

describe("the committed tokenizer", () => {
  it("is what src/tokenizer.ts writes", () => {
    for (const [name, content] of Object.entries(gsm8kTokenizer())) {
      expect(JSON.parse(readFileSync(join(MODEL_DIRECTORY, name), "utf8"))).toEqual(content);
    }
  });
});
