/** Signs of trouble, on courses of metrics that show them and on those that do not. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { MetricsIndex } from "../data/metrics-index.js";
import { healthFlags } from "./health.js";

const scratch = mkdtempSync(join(tmpdir(), "dashboard-health-"));
afterAll(() => rmSync(scratch, { recursive: true }));

/** A run of 100 steps; each metric by the share of the run that is done. */
async function flagsOf(courses: Readonly<Record<string, (done: number) => number>>): Promise<string[]> {
  const path = join(scratch, "metrics.jsonl");
  const lines = Array.from({ length: 100 }, (_, i) => {
    const values = Object.entries(courses).map(([metric, course]) => [metric, course((i + 1) / 100)]);
    return `${JSON.stringify({ step: i + 1, ...Object.fromEntries(values) })}\n`;
  });
  writeFileSync(path, lines.join(""));
  const index = new MetricsIndex(path);
  await index.refresh();
  return healthFlags(index, null).map(({ kind }) => kind);
}

it("a run that learns has none", async () => {
  const flags = await flagsOf({
    reward: (done) => 0.3 + 0.4 * done,
    initial_accuracy: (done) => 0.3 + 0.4 * done,
    entropy: (done) => 0.6 - 0.4 * done,
    kl: (done) => 0.02 * done,
    frac_reward_zero_std: () => 0.4,
    "completions/clipped_ratio": () => 0.05,
    "critique/failures": () => 0,
    "critique/count": () => 20,
    "reward/failures": () => 0,
    skipped_updates: () => 0,
    "sampling/logp_difference": () => 1e-4,
    "refinement/mean_probability": (done) => 0.4 + 0.4 * done,
    "refinement/kept_accuracy": () => 1,
  });
  expect(flags).toEqual([]);
});

it.each([
  ["entropy-growth", { entropy: (done: number) => 0.4 + 3 * done }],
  ["entropy-collapse", { entropy: (done: number) => 0.5 * (1 - done) ** 3 }],
  ["kl-growth", { kl: (done: number) => 0.01 + 5 * done ** 3 }],
  ["accuracy-drop", { initial_accuracy: (done: number) => (done < 0.6 ? 0.7 : 0.3) }],
  ["all-zero-groups", { frac_reward_zero_std: () => 0.95 }],
  ["truncation", { "completions/clipped_ratio": () => 0.6 }],
  ["critic-failures", { "critique/failures": () => 3, "critique/count": () => 20 }],
  ["reward-failures", { "reward/failures": (done: number) => (done > 0.9 ? 1 : 0) }],
  ["skipped-updates", { skipped_updates: (done: number) => (done === 1 ? 1 : 0) }],
  ["sampler-mismatch", { "sampling/logp_difference": () => 0.4 }],
  [
    "unabsorbed-refinements",
    { "refinement/mean_probability": (done: number) => 0.5 - 0.45 * done, "refinement/kept_accuracy": () => 0.9 },
  ],
])("%s is seen where it is, and nothing else", async (kind, courses) => {
  expect(await flagsOf(courses)).toEqual([kind]);
});

it("a sampler that is corrected for may differ from the trainer", async () => {
  const courses = { "sampling/logp_difference": () => 0.4, "sampling/importance_weight": () => 0.98 };
  expect(await flagsOf(courses)).toEqual([]);
});
