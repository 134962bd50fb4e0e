/** The page in a real browser, over runs that training writes. Needs `npm run build` and Chromium. */
import { mkdtempSync, rmSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  hasBrowser,
  launchBrowser,
  lowContrast,
  openPage,
  pageState,
  type WatchedPage,
  withoutBrowser,
} from "@critique-grpo/dashboard/testing";
import type { Browser, Locator, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { readRollouts } from "../run/readers.js";
import { RunDirectory } from "../run/run-directory.js";
import { writeCopyRun } from "../testing/copy-run.js";
import { HOSTILE_NAME, HOSTILE_TEXT, hostileGroup } from "../testing/hostile-group.js";
import { type RunningDashboard, startDashboard } from "./index.js";

describe.skipIf(!hasBrowser)(`the dashboard's page${withoutBrowser}`, () => {
  let root: string;
  let browser: Browser;
  let dashboard: RunningDashboard;
  let opened: WatchedPage[] = [];

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), "dashboard-page-"));
    await writeCopyRun(join(root, "copy"), { overrides: { steps: 8 } });
    await writeHostileRun(join(root, HOSTILE_NAME));
    dashboard = await startDashboard({ runs: root });
    browser = await launchBrowser();
  });
  afterEach(async () => {
    for (const { page, complaints } of opened) {
      expect(complaints).toEqual([]);
      await page.close();
    }
    opened = [];
  });
  afterAll(async () => {
    await browser?.close();
    await dashboard?.close();
    rmSync(root, { recursive: true });
  });

  async function open(hash: string, options: Parameters<typeof openPage>[1] = {}): Promise<Page> {
    const watched = await openPage(browser, options);
    opened.push(watched);
    await watched.page.goto(`${dashboard.url}#/${hash}`);
    return watched.page;
  }

  const shown = (locator: Locator) => expect.poll(() => locator.count(), { timeout: 10_000 });

  it("follows a run while it trains, without a reload", async () => {
    const page = await open("");
    await shown(page.getByRole("link", { name: "copy", exact: true })).toBe(1);
    await page.evaluate(() => Object.assign(globalThis, { pwned: "a mark that a reload would take away" }));
    // The run waits after its fourth step until the page has been looked at.
    let goOn = () => {};
    const looked = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const training = writeCopyRun(join(root, "live"), {
      overrides: { steps: 6 },
      sinks: [(event) => (event.type === "step-finished" && event.step === 4 ? looked : undefined)],
    });
    await shown(page.locator("tr", { hasText: "live" }).locator(".state-running")).toBe(1);
    await page.getByRole("link", { name: "live", exact: true }).click();
    const facts = page.locator(".facts");
    await expect.poll(() => facts.innerText(), { timeout: 10_000 }).toContain("4 of 6");
    const axis = page.locator(".chart", { hasText: "Reward" }).first();
    await shown(axis.locator("path.line")).toBeGreaterThan(0);
    goOn();
    await training;
    await expect.poll(() => facts.innerText(), { timeout: 10_000 }).toContain("6 of 6");
    await shown(page.locator(".heading .state-finished")).toBe(1);
    expect((await pageState(page)).ran).toBe(true);
  });

  it("shows a group as it was recorded: question, gold, answers, critiques, refinements, advantages", async () => {
    const [record] = await readRollouts(join(root, "copy"), 8);
    const page = await open("run/copy/groups?step=8&line=0");
    await shown(page.locator(".response")).toBe(record!.initial.length);
    expect(await page.locator(".question h1").innerText()).toBe(record!.question.text);
    expect(await page.locator(".gold").first().innerText()).toContain(record!.question.gold);
    const first = page.locator(".response").first();
    expect(await first.innerText()).toContain(record!.initial[0]!.critique!.text);
    expect(await first.locator(".verdict").first().innerText()).toBe(
      record!.initial[0]!.reward.correct ? "✓ right" : "✗ wrong",
    );
    await shown(page.locator(".refinement")).toBe(record!.refinements.length);
    await shown(page.locator(".response .flag.kept")).toBe(
      [...record!.initial, ...record!.refinements].filter(({ kept }) => kept).length,
    );
    const advantage = record!.initial[0]!.advantage!;
    expect(await first.locator(".advantage").first().innerText()).toContain(Math.abs(advantage).toFixed(3));
  });

  it("is walked through with the keyboard", async () => {
    const page = await open("run/copy/groups");
    await shown(page.locator(".group-item")).toBe(4);
    const current = () => page.locator(".group-item[aria-current]").innerText();
    await shown(page.locator(".group-item[aria-current]")).toBe(1);
    const first = await current();
    await page.keyboard.press("j");
    await expect.poll(current).not.toBe(first);
    await page.keyboard.press("k");
    await expect.poll(current).toBe(first);
    await page.keyboard.press("[");
    await expect.poll(current).toContain("step 7");
    await page.keyboard.press("c");
    await shown(page.locator(".tokens-logprob").first()).toBe(1);
    await page.keyboard.press("d");
    await page.keyboard.press("?");
    await shown(page.locator("dialog[open]")).toBe(1);
    await page.keyboard.press("Escape");
    await shown(page.locator("dialog[open]")).toBe(0);
    await page.keyboard.press("/");
    await shown(page.locator("input[type=search]:focus")).toBe(1);
    // What is typed into the search is no command.
    await page.keyboard.type("j");
    await expect.poll(() => page.locator(".group-list").innerText()).toContain("No group fits");
  });

  it("filters groups of the whole run, and says how many there are", async () => {
    const page = await open("run/copy/groups?step=all");
    const chip = page.getByRole("button", { name: /^fixed/ });
    await shown(page.locator(".group-item")).toBe(32);
    await chip.click();
    await expect.poll(() => chip.getAttribute("aria-pressed")).toBe("true");
    const wanted = Number((await chip.innerText()).replace(/\D/g, ""));
    expect(wanted).toBeGreaterThan(0);
    await shown(page.locator(".group-item")).toBe(wanted);
    // The address names what is shown.
    expect(page.url()).toContain("flag=fixed");
    await shown(page.locator(".question .flag-fixed")).toBe(1);
  });

  it("tells the history of a question and compares runs", async () => {
    const page = await open("run/copy/problems");
    await shown(page.locator("tbody tr")).toBeGreaterThan(3);
    await page.locator("tbody a").first().click();
    await shown(page.locator(".timeline button")).toBeGreaterThan(0);
    await page.goto(`${dashboard.url}#/compare?run=copy&run=${encodeURIComponent(HOSTILE_NAME)}`);
    await shown(page.locator(".chart")).toBeGreaterThan(0);
    expect(await page.locator("main").innerText()).toContain("Configurations differ in");
  });

  it("saves a figure as SVG and as CSV", async () => {
    const page = await open("run/copy/overview");
    const chart = page.locator(".chart").first();
    await shown(chart.locator("path.line")).toBeGreaterThan(0);
    await chart.hover();
    const [svg] = await Promise.all([
      page.waitForEvent("download"),
      chart.getByRole("button", { name: "SVG" }).click(),
    ]);
    expect(svg.suggestedFilename()).toBe("Reward.svg");
    const drawing = await streamText(await svg.createReadStream());
    expect(drawing).toMatch(/^<svg [^>]*xmlns="http:\/\/www.w3.org\/2000\/svg"/);
    // Colours come with it.
    expect(drawing).toMatch(/<path [^>]*stroke="rgb\(/);
    const [csv] = await Promise.all([
      page.waitForEvent("download"),
      chart.getByRole("button", { name: "CSV" }).click(),
    ]);
    expect((await streamText(await csv.createReadStream())).split("\n")[0]).toBe("step,reward,reward/group_mean");
  });

  it("is dark where the system is, and legible in both themes", async () => {
    for (const colorScheme of ["light", "dark"] as const) {
      const page = await open("run/copy/groups", { colorScheme });
      await shown(page.locator(".response")).toBeGreaterThan(0);
      expect((await pageState(page)).lightness < 60).toBe(colorScheme === "dark");
      expect(await lowContrast(page)).toEqual([]);
    }
    const page = await open("run/copy/overview", { colorScheme: "light" });
    await page.locator(".theme").click();
    await page.locator(".theme").click();
    expect((await pageState(page)).theme).toBe("dark");
    await page.reload();
    expect((await pageState(page)).theme).toBe("dark");
  });

  it("shows what a model writes as text: no script, handler, address or style of it comes to life", async () => {
    const page = await open("");
    await shown(page.locator("tbody tr")).toBeGreaterThan(1);
    const run = encodeURIComponent(HOSTILE_NAME);
    for (const view of ["overview", "groups", "problems", "critiques", "evaluations"]) {
      await page.goto(`${dashboard.url}#/run/${run}/${view}`);
      await page.waitForTimeout(300);
      await expectInert(page);
    }
    await page.goto(`${dashboard.url}#/run/${run}/groups`);
    await shown(page.locator(".response")).toBeGreaterThan(0);
    // It is there, letter for letter.
    expect(await page.locator(".response").first().innerText()).toContain("<img src=x onerror=");
    for (const key of ["c", "c", "c", "c", "d", "l", "l"]) {
      await page.keyboard.press(key);
      await page.waitForTimeout(150);
      await expectInert(page);
    }
    await page.keyboard.press("h");
    await shown(page.locator(".timeline")).toBe(1);
    await expectInert(page);
  });
});

async function expectInert(page: Page): Promise<void> {
  expect(await pageState(page)).toMatchObject({ ran: false, scripts: 1, foreign: [], links: [], handlers: 0 });
}

async function streamText(stream: AsyncIterable<unknown>): Promise<string> {
  let text = "";
  for await (const chunk of stream) text += String(chunk);
  return text;
}

/** Written by the writer that training uses. */
async function writeHostileRun(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  const options = {
    config: { steps: 1, note: HOSTILE_TEXT },
    volatileKeys: [],
    task: "train",
    steps: 1,
    resume: false,
  } as const;
  const run = await RunDirectory.open(directory, options, () => {});
  await run.record({ type: "run-started", task: "train", step: 0, steps: 1, resumed: false });
  await run.record({ type: "warning", step: 1, message: HOSTILE_TEXT });
  const metrics = { reward: 0.5, [HOSTILE_TEXT]: 1 };
  await run.record({ type: "step-finished", step: 1, steps: 1, metrics, groups: [hostileGroup()] });
  await run.record({
    type: "evaluation",
    step: 1,
    result: { dataSource: HOSTILE_TEXT, questions: 1, pass1: { value: 1, low: 1, high: 1 }, sources: [] },
  });
  await run.record({ type: "run-failed", step: 1, message: HOSTILE_TEXT });
  await run.close();
}
