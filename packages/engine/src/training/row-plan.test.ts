import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RandomStream } from "../generation/random.js";
import { parseModelConfig } from "../weights/index.js";
import { type LayoutInput, rowLayout } from "./row-layout.js";
import { planLanes, planRowBatches, rowCosts } from "./row-plan.js";

/** Config S of the benchmarks. */
const costs = rowCosts(
  parseModelConfig({
    architectures: ["Qwen3ForCausalLM"],
    vocab_size: 512,
    hidden_size: 256,
    intermediate_size: 768,
    num_hidden_layers: 6,
    num_attention_heads: 8,
    num_key_value_heads: 4,
    head_dim: 32,
  }),
);

const input = (length: number, prompt: number, promptLength: number): LayoutInput => ({
  tokens: new Array(length).fill(0),
  prompt,
  promptLength,
});

/** Tokens of questions and solutions. */
function gsm8kLengths(): readonly [prompt: number, response: number][] {
  const path = new URL("../../../../benchmarks/workloads/gsm8k-lengths.json", import.meta.url);
  return (JSON.parse(readFileSync(path, "utf8")) as { lengths: [number, number][] }).lengths;
}

const both = (budget: number) => ({ rows: budget, memory: budget });

const alone = (lengths: readonly number[]): LayoutInput[] =>
  lengths.map((length, prompt) => input(length, prompt, length));

/** As many responses of these lengths to a prompt each. */
const groups = (count: number, promptLength: number, responses: readonly number[]): LayoutInput[] =>
  Array.from({ length: count }, (_, prompt) =>
    responses.map((length) => input(promptLength + length, prompt, promptLength)),
  ).flat();

const inputs = fc
  .array(fc.record({ prompt: fc.nat(5), extra: fc.nat(20) }), { maxLength: 40 })
  .map((list) => list.map(({ prompt, extra }) => input(1 + prompt + extra, prompt, 1 + prompt)));

test("every input runs once, within the budget or alone, in the rows that its layout has", () => {
  fc.assert(
    fc.property(inputs, fc.integer({ min: 1, max: 200 }), (shapes, budget) => {
      const batches = planRowBatches(shapes, both(budget), costs);
      expect(batches.flatMap(({ members }) => members).sort((a, b) => a - b)).toEqual(shapes.map((_, i) => i));
      for (const { members, rows, padding, tokens } of batches) {
        const chosen = members.map((index) => shapes[index]!);
        expect(members.length === 1 || rows <= budget).toBe(true);
        expect(tokens).toBe(chosen.reduce((sum, each) => sum + each.tokens.length, 0));
        const layout = rowLayout(chosen);
        expect(layout.rows).toBe(rows);
        expect(layout.padding.reduce((sum, [first, end]) => sum + end - first, 0)).toBe(padding);
      }
    }),
  );
});

test("responses to a prompt run together, so that it is computed once", () => {
  const batches = planRowBatches(groups(4, 100, [40, 50, 60, 70]), both(1024), costs);
  expect(batches.map(({ rows }) => rows)).toEqual([641, 641]);
  // 4 × 100 + 4 × 220 instead of 4 × 4 × 100 + 4 × 220, and two rows of padding.
  expect(batches.reduce((sum, { rows }) => sum + rows, 0)).toBe(4 * 100 + 4 * 220 + 2);
});

test("groups of eight with the lengths of GSM8K have a sixth to a quarter fewer rows than tokens", () => {
  const lengths = gsm8kLengths();
  // The answers of a group take the lengths of the solutions in turn.
  const shapes = lengths.slice(0, 8).flatMap(([promptLength], prompt) =>
    Array.from({ length: 8 }, (_, i) => {
      const [, response] = lengths[(prompt * 8 + i) % lengths.length]!;
      return input(promptLength + response - 1, prompt, promptLength);
    }),
  );
  const batches = planLanes(shapes, 1024, 2, costs).flat();
  const sum = (of: "rows" | "tokens") => batches.reduce((total, batch) => total + batch[of], 0);
  expect(sum("rows") / sum("tokens")).toBeGreaterThan(0.75);
  expect(sum("rows") / sum("tokens")).toBeLessThan(0.84);
});

test("a short prompt is no reason to pad attention's grid with long responses", () => {
  const lengths = [400, 10, 10, 10];
  const byLength = planRowBatches(groups(2, 1, lengths), both(500), costs);
  expect(byLength.map(({ members }) => members.map((index) => lengths[index % 4]))).toEqual([
    [400],
    [400],
    [10, 10, 10, 10, 10, 10],
  ]);
});

test("similar lengths share a micro-batch", () => {
  const batches = planRowBatches(alone([20, 90, 30, 100]), both(200), costs);
  expect(batches.map(({ members, rows }) => [members, rows])).toEqual([
    [[3, 1], 191],
    [[2, 0], 51],
  ]);
});

test("memory counts as well: attention's grid may not grow because its rows are shared", () => {
  // A hundred answers of one token to a prompt of 200: 200 + 100 rows would be a grid of 100 × 201 slots.
  const batches = planRowBatches(groups(1, 200, new Array(100).fill(1)), both(1024), costs);
  for (const { members } of batches) expect(members.length * 201).toBeLessThan(2.5 * 1024);
});

describe("padding stays far below 5 % of what is computed", () => {
  /** Share of padding on two lanes with the default budget. */
  const padding = (shapes: readonly LayoutInput[]) => {
    const batches = planLanes(shapes, 1024, 2, costs).flat();
    const sum = (of: "rows" | "padding") => batches.reduce((total, batch) => total + batch[of], 0);
    return { share: sum("padding") / sum("rows"), count: batches.length };
  };

  test("questions and solutions of GSM8K", () => {
    const lengths = gsm8kLengths();
    const { share, count } = padding(alone(lengths.map(([prompt, response]) => prompt + response - 1)));
    expect(share).toBeLessThan(0.005);
    expect(count).toBeLessThan(lengths.length / 2);
  });

  test.each([
    [128, 64],
    [64, 1024],
    [2048, 300],
  ])("%d completions that end anywhere up to %d tokens", (count, longest) => {
    const stream = new RandomStream(1, count);
    const lengths = Array.from({ length: count }, () => 8 + Math.floor(longest * stream.next()));
    expect(padding(alone(lengths)).share).toBeLessThan(0.005);
  });

  test("and equal lengths are not taken apart for it", () => {
    expect(padding(alone(new Array(64).fill(64)))).toEqual({ share: 0, count: 4 });
  });
});

test("lanes get even shares, also when everything would fit into one micro-batch", () => {
  const plan = (shapes: readonly LayoutInput[], budget: number) => planLanes(shapes, budget, 2, costs);
  expect(plan(alone(new Array(32).fill(127)), 1024).map((lane) => lane.map((b) => b.members.length))).toEqual([
    [8, 8],
    [8, 8],
  ]);
  expect(plan(alone([5, 5, 5, 5]), 1000).map((lane) => lane.flatMap((b) => b.members))).toEqual([
    [0, 1],
    [2, 3],
  ]);
  expect(plan(groups(2, 8, [10, 10, 10, 10]), 1000).map((lane) => lane.map((b) => b.rows))).toEqual([[49], [49]]);
  expect(plan([], 1000)).toEqual([[], []]);
});
