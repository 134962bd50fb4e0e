import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { runCli } from "../testing/cli-project.js";
import { groupCurve, smooth } from "./curves.js";
import { groupByConfig } from "./groups.js";
import { readComparedRun } from "./series.js";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "compare-"));
  for (const [seed, offset] of [
    [1, 0],
    [2, 0.1],
    [3, 0.2],
  ] as const) {
    write(`base/seed-${seed}`, { preset: "dr-grpo", seed, runDirectory: `r${seed}` }, offset);
    write(`mine/seed-${seed}`, { preset: "critique-grpo", seed, runDirectory: `r${seed}` }, offset + 0.5);
  }
});
afterAll(() => rmSync(root, { recursive: true }));

/** A run directory of ten steps whose reward rises by 0.01 a step from `offset`, with an evaluation at the ends. */
function write(name: string, config: object, offset: number): void {
  const directory = join(root, name);
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "config.yaml"), stringify(config));
  const lines = (records: readonly object[]) => records.map((record) => `${JSON.stringify(record)}\n`).join("");
  const stamp = { schemaVersion: 1, time: "2026-01-01T00:00:00Z" };
  const steps = Array.from({ length: 10 }, (_, index) => ({
    ...{ ...stamp, step: index + 1, reward: offset + index / 100, kl: null, "seconds/step": 2 },
    "tokens/generated_total": 1000 * (index + 1),
  }));
  writeFileSync(join(directory, "metrics.jsonl"), `${lines(steps)}{"torn`);
  const evaluation = (step: number, value: number) => ({
    ...{ ...stamp, step, pass1: { value, low: value, high: value }, lengths: { mean: 7 } },
    passAt: [1, 8].map((k) => ({ k, value: value * k, low: 0, high: 1 })),
  });
  writeFileSync(join(directory, "evaluations.jsonl"), lines([evaluation(0, 0.01), evaluation(10, offset / 10)]));
}

describe("readComparedRun", () => {
  it("gives metrics and evaluations their step, tokens and seconds", async () => {
    const { series, name } = await readComparedRun(join(root, "base/seed-2"));
    expect(name).toBe("seed-2");
    expect(series.get("reward")).toHaveLength(10);
    expect(series.get("reward")![2]).toEqual({ step: 3, tokens: 3000, seconds: 6, value: 0.1 + 0.02 });
    expect(series.get("evaluation/pass@8")!.map(({ step, tokens }) => [step, tokens])).toEqual([
      [0, 0],
      [10, 10_000],
    ]);
    expect(series.has("kl")).toBe(false);
    expect(series.has("step")).toBe(false);
  });
});

describe("groupByConfig", () => {
  it("puts repetitions together and names groups by what differs", async () => {
    const runs = await Promise.all(
      ["base/seed-1", "mine/seed-1", "base/seed-2", "mine/seed-2"].map((name) => readComparedRun(join(root, name))),
    );
    const groups = groupByConfig(runs);
    expect(groups.map(({ label, runs }) => [label, runs.length])).toEqual([
      ["group 1", 2],
      ['preset="critique-grpo"', 2],
    ]);
    expect(groupByConfig(runs, ["runDirectory"])).toHaveLength(4);
  });
});

describe("curves", () => {
  it("smooth over the last steps, as far as there are any", () => {
    const points = [1, 2, 6].map((value, step) => ({ step, tokens: 0, seconds: 0, value }));
    expect(smooth(points, 2).map(({ value }) => value)).toEqual([1, 1.5, 4]);
  });

  it("are means over runs with t-intervals, at steps that all runs have", async () => {
    const runs = await Promise.all([1, 2, 3].map((seed) => readComparedRun(join(root, `base/seed-${seed}`))));
    const short = { ...runs[2]!, series: new Map([["reward", runs[2]!.series.get("reward")!.slice(0, 4)]]) };
    const curve = groupCurve({ label: "base", runs: [runs[0]!, runs[1]!, short] }, "reward", "tokens");
    expect(curve).toHaveLength(4);
    const [first] = curve;
    expect(first).toMatchObject({ step: 1, x: 1000, runs: 3 });
    expect(first!.value).toBeCloseTo(0.1, 12);
    // s = 0.1, t(2) = 4.3027
    expect(first!.high - first!.value).toBeCloseTo((4.30265273 * 0.1) / Math.sqrt(3), 6);
  });
});

describe("critique-grpo compare", () => {
  const labelled = (label: string) => [1, 2, 3].map((seed) => `${label}=${join(root, label, `seed-${seed}`)}`);

  it("prints a table of means and intervals, and writes figure and page", async () => {
    const [svg, html] = [join(root, "out.svg"), join(root, "out.html")];
    const files = ["--svg", svg, "--html", html];
    const { code, stdout } = await runCli(["compare", ...labelled("base"), ...labelled("mine"), ...files]);
    expect(code).toBe(0);
    // The last tenth of ten steps is the last one: 0.09 + 0, 0.1, 0.2.
    expect(stdout).toMatch(/^base +3 +10 .*0\.19 ± 0\.25/m);
    expect(stdout).toMatch(/^mine +3 +10 .*0\.69 ± 0\.25/m);
    expect(readFileSync(svg, "utf8")).toContain("evaluation/pass@1");
    expect(readFileSync(html, "utf8")).toContain("0.69 ± 0.25");
    expect(readFileSync(html, "utf8")).not.toMatch(/<script|src=|https?:\/\/(?!www\.w3\.org)/);
  });

  it("takes a folder of runs, and gives everything as JSON", async () => {
    const { stdout } = await runCli(["compare", root, "--json", "--metric", "reward"]);
    const { groups } = JSON.parse(stdout) as {
      groups: { label: string; runs: unknown[]; metrics: { metric: string; value: number }[]; curves: object }[];
    };
    expect(groups.map(({ runs }) => runs.length)).toEqual([3, 3]);
    expect(groups[1]!.metrics[0]).toMatchObject({ metric: "reward" });
    expect(groups[1]!.curves).toHaveProperty("reward");
  });

  it.each([
    [["nowhere"], "no such directory"],
    [["here"], "neither a run"],
    [["a=base/seed-1", "mine/seed-1"], "has no label but other runs have"],
    [["base/seed-1", "--metric", "rewards"], 'did you mean "reward"'],
  ])("refuses %j, and says why", async (argv, message) => {
    mkdirSync(join(root, "here"), { recursive: true });
    const absolute = argv.map((text) =>
      /^(a=)?(nowhere|here|base|mine)/.test(text) ? text.replace(/^(a=)?/, (label) => label + join(root, "/")) : text,
    );
    const { code, stderr } = await runCli(["compare", ...absolute]);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });
});
