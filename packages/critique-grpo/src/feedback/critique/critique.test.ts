import { describe, expect, it } from "vitest";
import type { Question } from "../../data/question.js";
import type { InitialResponse } from "../../rollout/records.js";
import { fallbackCritique } from "./critic.js";
import { createIndicativeCritic } from "./indicative.js";
import { type CritiqueFunction, createProgramCritic } from "./program.js";
import { resolveCritic } from "./resolve.js";

const question: Question = { id: "q", dataSource: "d", text: "6·7?", prompt: "6·7?", gold: "42", metadata: {} };

function request(correct: boolean) {
  const response: InitialResponse = {
    kind: "initial",
    index: 0,
    samplingPrompt: [1],
    tokens: [2],
    logprobs: Float32Array.of(-1),
    text: "41",
    stopReason: "stop",
    policyVersion: 0,
    reward: { value: correct ? 1 : 0, correct, parts: {} },
  };
  return { question, response, seed: 1 };
}

describe("indicative critics", () => {
  it("say the paper's sentences, exactly", async () => {
    expect(await createIndicativeCritic("simple").critique([request(true), request(false)])).toEqual([
      { kind: "simple", text: "The generated solution is correct." },
      { kind: "simple", text: "The generated solution is incorrect." },
    ]);
    expect(await createIndicativeCritic("simple_gt").critique([request(true), request(false)])).toEqual([
      { kind: "simple_gt", text: "The generated solution is correct, the ground truth is 42." },
      { kind: "simple_gt", text: "The generated solution is incorrect, the ground truth is 42." },
    ]);
  });
});

describe("program critic", () => {
  it("returns what the user's function writes, in order", async () => {
    const critic = createProgramCritic(async ({ response }) => `said ${response.text}`);
    expect(await critic.critique([request(false)])).toEqual([{ kind: "program", text: "said 41" }]);
  });

  it.each<[string, CritiqueFunction, string]>([
    [
      "throws",
      () => {
        throw new Error("no idea");
      },
      "no idea",
    ],
    ["returns nothing", (() => undefined) as unknown as CritiqueFunction, "undefined, not a string"],
    ["returns no words", () => "", "empty string"],
  ])("falls back to simple_gt, with the reason, when it %s", async (_, write, reason) => {
    const [critique] = await createProgramCritic(write).critique([request(false)]);
    expect(critique).toMatchObject({
      kind: "simple_gt",
      text: "The generated solution is incorrect, the ground truth is 42.",
    });
    expect(critique!.failure).toContain(reason);
  });
});

describe("resolveCritic", () => {
  const noModules = () => Promise.reject(new Error("no module expected"));

  it("gives none, a built-in critic or a user's", async () => {
    expect(await resolveCritic({ type: "none" }, noModules)).toBeNull();
    const simple = await resolveCritic({ type: "simple" }, noModules);
    expect((await simple!.critique([request(true)]))[0]!.kind).toBe("simple");
    const program = await resolveCritic({ type: "program", module: "/m.ts" }, async () => ({ critique: () => "look" }));
    expect((await program!.critique([request(true)]))[0]!.text).toBe("look");
  });
});

describe("fallbacks", () => {
  it("say no ground truth where there is none", () => {
    const { response, seed } = request(false);
    expect(fallbackCritique({ question: { ...question, gold: "" }, response, seed }, "down")).toEqual({
      kind: "simple",
      text: "The generated solution is incorrect.",
      failure: "down",
    });
  });
});
