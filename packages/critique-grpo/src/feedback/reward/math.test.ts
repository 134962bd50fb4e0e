import { describe, expect, it } from "vitest";
import { verifiableQuestions } from "../../data/check.js";
import type { Question } from "../../data/question.js";
import { resolveRewards } from "./resolve.js";
import { createScorer } from "./reward.js";

const noModules = () => Promise.reject(new Error("no module expected"));
const question = (gold: string): Question => ({
  id: gold,
  dataSource: "d",
  text: "?",
  prompt: "?",
  gold,
  metadata: {},
});

async function score(name: string, gold: string, text: string, options: Record<string, unknown> = {}, tokens = 3) {
  const functions = [{ name, weight: 1, options }];
  const rewards = await resolveRewards({ functions }, noModules);
  const sample = { text, tokens: Array<number>(tokens).fill(1), stopReason: "stop" as const };
  return createScorer(rewards, 0.5)(question(gold), sample);
}

describe("the math reward", () => {
  it.each([
    ["\\frac{1}{2}", "so the answer is \\boxed{0.5}.", 1],
    ["1000", "It costs $1,000.", 1],
    ["x \\le 3", "\\boxed{(-\\infty, 3]}", 1],
    ["(-\\infty, 3]", "\\boxed{x \\le 3}", 1],
    ["2\\sqrt{3}", "\\boxed{\\sqrt{12}}", 1],
    ["5", "\\boxed{-5}", 0],
    ["5", "I do not know.", 0],
    ["5", "", 0],
  ])("gold %s, response %j: %d", async (gold, text, value) => {
    expect(await score("math", gold, text)).toMatchObject({ value, correct: value === 1 });
  });

  it("fails visibly, not silently, where the gold answer cannot be parsed", async () => {
    const reward = await score("math", "\\frac{1}{", "\\boxed{7}");
    expect(reward).toMatchObject({ value: 0, correct: false, failure: expect.stringContaining("unverifiable") });
  });

  it.each([
    ["math", { timeout: 1 }, 'Unknown option "timeout"'],
    ["math", { timeoutMs: 0 }, "at least 1"],
    ["length", { target: 10 }, 'Option "limit" of reward "length" is missing'],
    ["length", { target: 10, limit: 5 }, "greater than target"],
    ["multiple-choice", { count: 1 }, "from 2 to 26"],
  ])("%s refuses the options %j before any work", async (name, options, message) => {
    await expect(score(name, "1", "1", options)).rejects.toThrow(message);
  });
});

describe("multiple-choice and length", () => {
  it("grades letters", async () => {
    expect((await score("multiple-choice", "B", "Thus the answer is (B).")).value).toBe(1);
    expect((await score("multiple-choice", "B", "\\boxed{C}")).value).toBe(0);
    expect((await score("multiple-choice", "H", "Answer: H", { count: 10 })).value).toBe(1);
    expect((await score("multiple-choice", "H", "Answer: A")).failure).toContain("unverifiable");
  });

  it.each([
    [5, 1],
    [10, 1],
    [15, 0.5],
    [20, 0],
    [30, 0],
  ])("%d tokens with target 10 and limit 20 give %d", async (tokens, value) => {
    expect((await score("length", "", "x", { target: 10, limit: 20 }, tokens)).value).toBeCloseTo(value);
  });
});

describe("gold answers are checked before a run", () => {
  const located = ["5", "\\frac{1}{", "7"].map((gold, row) => ({
    question: question(gold),
    location: `d.jsonl:${row + 1}`,
  }));

  it("lists those that cannot be verified and leaves them out, or refuses to start", async () => {
    const functions = [{ name: "math", weight: 1, options: {} }];
    const rewards = await resolveRewards({ functions }, noModules);
    const { kept, warning } = verifiableQuestions(located, rewards, "skip");
    expect(kept.map(({ question }) => question.gold)).toEqual(["5", "7"]);
    expect(warning).toContain("1 of 3");
    expect(warning).toContain("d.jsonl:2");
    expect(() => verifiableQuestions(located, rewards, "error")).toThrow("d.jsonl:2");
    expect(() => verifiableQuestions(located.slice(1, 2), rewards, "skip")).toThrow("1 of 1");
  });
});
