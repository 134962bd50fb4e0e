import { describe, expect, it } from "vitest";
import { majorityVote } from "./majority.js";
import type { EvaluatedResponse } from "./types.js";
import { builtInVerifier } from "./verifier.js";

const question = { id: "q", dataSource: "d", text: "", prompt: "", gold: "\\frac{1}{2}", metadata: {} };

async function vote(...texts: string[]) {
  const { score, answers } = await builtInVerifier("math");
  const responses: EvaluatedResponse[] = [];
  for (const text of texts) {
    const shared = { text, length: 1, stopReason: "stop" as const };
    const reward = await score(question, { ...shared, tokens: [] });
    responses.push({ ...shared, reward, answer: await answers!.read(question, text) });
  }
  return majorityVote(responses, answers!.equal);
}

describe("a majority vote", () => {
  it("counts answers that mean the same as one", async () => {
    expect(await vote("\\boxed{3}", "\\boxed{0.5}", "\\boxed{\\tfrac12}", "\\boxed{3}", "\\boxed{50\\%}")).toEqual({
      answer: "0.5",
      votes: 3,
      correct: true,
    });
  });

  it("is won by the answer given first where two are equally frequent", async () => {
    expect(await vote("\\boxed{3}", "\\boxed{1/2}")).toMatchObject({ answer: "3", correct: false });
    expect(await vote("\\boxed{1/2}", "\\boxed{3}")).toMatchObject({ answer: "1/2", correct: true });
  });

  it("leaves out responses without an answer", async () => {
    expect(await vote("", "", "\\boxed{1/2}")).toMatchObject({ votes: 1, correct: true });
    expect(await vote("", "")).toEqual({ answer: null, votes: 0, correct: false });
  });
});
