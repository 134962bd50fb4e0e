import { describe, expect, it } from "vitest";
import type { Question } from "../../data/question.js";
import { critiqueTemplateProblem, DEFAULT_CRITIQUE_TEMPLATE, renderCritiquePrompt } from "./critique-prompt.js";
import { parseVerdict } from "./verdict.js";

const question: Question = {
  id: "q",
  dataSource: "d",
  text: "What is {gold}?",
  prompt: "q",
  gold: "7",
  solution: "3 + 4 = 7",
  metadata: {},
};

describe("the critic's prompt", () => {
  it("quotes question, response and reference solution, and asks for a verdict", () => {
    const prompt = renderCritiquePrompt(undefined, question, "{solution} = 8");
    // What is put in is not searched for placeholders.
    expect(prompt).toContain("**Question**: What is {gold}?");
    expect(prompt).toContain("**Student's Answer**: {solution} = 8");
    expect(prompt).toContain("**Reference Solution**: 3 + 4 = 7");
    expect(parseVerdict("Conclusion: wrong [END]")).toBe("wrong");
    expect(prompt).toContain("Conclusion: wrong [END]");
  });

  it("makes do with the gold answer, or with nothing", () => {
    const { solution: _, ...without } = question;
    expect(renderCritiquePrompt(undefined, without, "8")).toContain("**Reference Solution**: 7");
    const bare = renderCritiquePrompt(undefined, { ...without, gold: "" }, "8");
    expect(bare).not.toContain("Reference");
    expect(bare).toContain("Conclusion: wrong [END]");
  });

  it("may be the user's own", () => {
    const template = "{question}|{response}|{gold}|{solution}|\\frac{1}{2}";
    expect(renderCritiquePrompt(template, question, "8")).toBe("What is {gold}?|8|7|3 + 4 = 7|\\frac{1}{2}");
    expect(critiqueTemplateProblem(template)).toBeNull();
    expect(critiqueTemplateProblem(DEFAULT_CRITIQUE_TEMPLATE)).toBeNull();
    expect(critiqueTemplateProblem("{response} only")).toContain(
      "lacks {question}; it must contain {question} and {response}",
    );
  });
});
