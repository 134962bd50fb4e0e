import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hasBrowser, launchBrowser, openPage, withoutBrowser } from "@critique-grpo/dashboard/testing";
import { readMetrics, readRollouts, startDashboard } from "critique-grpo";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Plan } from "./plan.js";
import { Progress } from "./progress.js";
import { runQuickstart } from "./run.js";
import type { MethodRecord } from "./summary.js";

const TINY: Plan = {
  rehearsal: true,
  sizes: { train: 8, heldOut: 8, outOfDistribution: 4 },
  warmUp: { steps: 2, batchSize: 4, extensionSteps: 1, maxExtensions: 0 },
  overrides: ["steps=2", "questionsPerStep=4", "miniBatches=2", "evaluation.every=1", "evaluation.limit=4"],
};

describe("runQuickstart", () => {
  let parent: string;
  let out: string;
  let printed = "";
  beforeAll(async () => {
    parent = await mkdtemp(join(tmpdir(), "carry-addition-"));
    out = join(parent, "run");
    const output = { write: (text: string) => (printed += text) };
    const signal = new AbortController().signal;
    await runQuickstart({ seeds: [5], out, plan: TINY, progress: new Progress(output), signal });
  });
  afterAll(() => rm(parent, { recursive: true, force: true }));

  it("goes from random weights to one summary record a method and seed", async () => {
    const records = JSON.parse(await readFile(join(out, "summary.json"), "utf8")) as MethodRecord[];
    expect(records.map(({ method, seed }) => [method, seed])).toEqual([
      ["dr-grpo", 5],
      ["critique-grpo", 5],
    ]);
    for (const record of records) {
      expect(Object.keys(record.heldOut)).toEqual(["greedy", "pass1", "pass8"]);
      expect(record.sampledTokens).toBeGreaterThan(0);
      expect(record.seconds).toBeGreaterThan(0);
      expect(record.before).toEqual(records[0]!.before);
      expect(record.curve.map(({ step }) => step)).toEqual([0, 1, 2]);
      const metrics = await readMetrics(join(out, "seed-5", record.method));
      expect(metrics.at(-1)!["tokens/generated_total"]).toBe(record.sampledTokens);
    }
  });

  it("tells what it does from the start, and where the results are", () => {
    expect(printed).toMatch(/^\[ +0 s\] carry addition · seeds 5/);
    expect(printed).toMatch(/warm-up 1\/2/);
    expect(printed).toContain("the warm-up did not converge in 2 steps");
    expect(printed).toContain("summary.json");
  });

  it.skipIf(!hasBrowser)(`can be looked at in the dashboard, token by token${withoutBrowser}`, async () => {
    const dashboard = await startDashboard({ runs: out });
    const browser = await launchBrowser();
    try {
      const { page, complaints } = await openPage(browser);
      await page.goto(`${dashboard.url}#/run/${encodeURIComponent("seed-5/critique-grpo")}`);
      await expect.poll(() => page.locator(".facts").innerText(), { timeout: 20_000 }).toContain("2 of 2");
      await expect.poll(() => page.locator(".chart path.line").count()).toBeGreaterThan(5);
      await page.getByRole("link", { name: "Groups", exact: true }).click();
      const [record] = await readRollouts(join(out, "seed-5", "critique-grpo"), 2);
      await expect.poll(() => page.locator(".question h1").innerText()).toBe(record!.question.text);
      await page.keyboard.press("c");
      // The run's own tokenizer says what each token is.
      const first = page.locator(".response .tokens").first();
      await expect.poll(() => first.locator(".token").count()).toBe(record!.initial[0]!.tokens.length);
      expect(await first.innerText()).toContain(record!.initial[0]!.text);
      expect(await first.locator(".token").first().getAttribute("title")).toContain(
        `log p ${record!.initial[0]!.logprobs[0]!.toFixed(3)}`,
      );
      expect(complaints).toEqual([]);
    } finally {
      await browser.close();
      await dashboard.close();
    }
  });
});
