import { describe, expect, it } from "vitest";
import type { Question } from "../../data/question.js";
import { exactMatch, lastBoxed } from "./exact-match.js";
import { format } from "./format.js";
import { resolveRewards } from "./resolve.js";
import { createScorer, type RewardFunction } from "./reward.js";

const question: Question = { id: "q", dataSource: "d", text: "6·7?", prompt: "6·7?", gold: "42", metadata: {} };
const sample = (text: string) => ({ question, text, tokens: [1], stopReason: "stop" as const });
const response = { text: "42", tokens: [1], stopReason: "stop" as const };
const noModules = () => Promise.reject(new Error("no module expected"));

describe("createScorer", () => {
  it("adds up weighted parts and keeps each of them", async () => {
    const score = createScorer(
      [
        { name: "right", score: () => true, weight: 0.9 },
        { name: "form", score: async () => 0.5, weight: 0.2 },
      ],
      0.95,
    );
    const reward = await score(question, response);
    expect(reward).toEqual({ value: expect.closeTo(1), correct: true, parts: { right: 1, form: 0.5 } });
  });

  it.each<[string, RewardFunction, string]>([
    [
      "throws",
      () => {
        throw new Error("no verifier");
      },
      "no verifier",
    ],
    ["rejects", () => Promise.reject(new Error("timeout")), "timeout"],
    ["returns NaN", () => Number.NaN, "returned NaN"],
    ["returns infinity", () => Number.POSITIVE_INFINITY, "returned Infinity"],
    ["returns nothing", (() => undefined) as unknown as RewardFunction, "type undefined"],
    ["returns text", (() => "1") as unknown as RewardFunction, "type string"],
    [
      "throws no Error",
      () => {
        throw "bad";
      },
      "bad",
    ],
  ])("scores 0 and says why when a function %s", async (_, broken, reason) => {
    const score = createScorer(
      [
        { name: "good", score: () => 1 },
        { name: "broken", score: broken },
      ],
      0.5,
    );
    const reward = await score(question, response);
    expect(reward).toMatchObject({ value: 0, correct: false, parts: { good: 1 } });
    expect(reward.failure).toContain('reward "broken"');
    expect(reward.failure).toContain(reason);
  });

  it("refuses no rewards, and two of one name", () => {
    expect(() => createScorer([], 0.5)).toThrow("at least one reward");
    const twice = { name: "a", score: () => 1 };
    expect(() => createScorer([twice, twice], 0.5)).toThrow('called "a"');
  });
});

describe("exact-match", () => {
  it.each([
    ["text", " 42 ", 1],
    ["text", "it is 42", 0],
    ["boxed", "\\boxed{41} no, \\boxed{42}", 1],
    ["boxed", "42", 0],
    ["last-line", "so\n42\n", 1],
    ["last-number", "41 or -42 or $1,042, but no: 42.", 1],
    ["last-number", "none", 0],
  ])("finds the answer in %s of %j: %d", async (answer, text, value) => {
    expect(await exactMatch(sample(text), { answer })).toBe(value);
  });

  it("takes the last match of a pattern", async () => {
    expect(await exactMatch(sample("#### 41\n#### 42"), { pattern: "####\\s*(\\S+)" })).toBe(1);
  });

  it("finds the last balanced box", () => {
    expect(lastBoxed("\\boxed{\\frac{1}{2}} then \\boxed{open")).toBe("\\frac{1}{2}");
    expect(lastBoxed("\\boxed{".repeat(3))).toBeUndefined();
  });
});

describe("format", () => {
  it.each([
    ["<think>a</think> b", true],
    ["<think>a</think>", false],
    ["a <think>b</think> c", false],
    ["<think>a</think><think>b</think>c", false],
    ["<think>a b", false],
  ])("wants one thought, then an answer: %j is %s", async (text, right) => {
    expect(await format(sample(text), {})).toBe(right);
  });

  it("wants a box, or a pattern of one's own", async () => {
    expect(await format(sample("\\boxed{1}"), { style: "boxed" })).toBe(true);
    expect(await format(sample("Answer: 1"), { pattern: "^Answer:" })).toBe(true);
  });
});

describe("resolveRewards", () => {
  const entry = { weight: 1, options: {} };

  it("finds built-in rewards and exports of modules", async () => {
    const length = () => 1;
    const load = async () => ({ length, default: () => 0 });
    const rewards = await resolveRewards(
      {
        functions: [
          { ...entry, name: "format" },
          { ...entry, name: "length", module: "/m.ts", weight: 2 },
        ],
      },
      load,
    );
    expect(rewards).toMatchObject([
      { name: "format", weight: 1 },
      { name: "length", weight: 2, score: length },
    ]);
  });

  it.each([
    [{ ...entry, name: "exact" }, 'Unknown reward "exact"; built in are exact-match, format, length, math'],
    [
      { ...entry, name: "format", options: { stile: "boxed" } },
      'Unknown option "stile" of reward "format"; it knows style, pattern',
    ],
    [
      { ...entry, name: "exact-match", options: { answer: "box" } },
      "must be one of text, boxed, last-line, last-number",
    ],
    [{ ...entry, name: "exact-match", options: { pattern: "(" } }, "is not a regular expression"],
  ])("refuses %j before any work", async (wrong, message) => {
    await expect(resolveRewards({ functions: [wrong] }, noModules)).rejects.toThrow(message);
  });

  it("says what a module exports instead of a reward", async () => {
    const load = async () => ({ score: 1, other: 2 });
    const functions = [{ ...entry, name: "mine", module: "/m.ts" }];
    await expect(resolveRewards({ functions }, load)).rejects.toThrow("it exports score, other");
  });
});
