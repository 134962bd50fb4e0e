import { describe, expect, it } from "vitest";
import type { ChatMessage, Question } from "../data/question.js";
import type { TextCodec } from "../policy/policy.js";
import { renderTemplate } from "./prompt-template.js";
import { DEFAULT_REFINEMENT_TEMPLATE, encodeRefinementPrompt, refinementTemplateProblem } from "./refinement-prompt.js";

/** Bytes are tokens; chat markup is visible. */
const codec: TextCodec = {
  encode: (text, options) => [...(options?.addSpecialTokens ? [0] : []), ...Buffer.from(text)],
  decode: (tokens) => Buffer.from(tokens.filter((token) => token !== 0)).toString(),
  encodeChat: (messages: readonly ChatMessage[]) => [
    ...Buffer.from(messages.map(({ role, content }) => `<${role}>${content}`).join("")),
  ],
  stopTokens: [],
};
const question: Question = { id: "q", dataSource: "d", text: "6·7?", prompt: "6·7?", gold: "42", metadata: {} };

describe("refinement template", () => {
  it("is right as it comes, and quotes question, solution and critique", () => {
    expect(refinementTemplateProblem(DEFAULT_REFINEMENT_TEMPLATE)).toBeNull();
    const text = renderTemplate(DEFAULT_REFINEMENT_TEMPLATE, {
      question: "Q?",
      response: "R.",
      critique: "C!",
    });
    expect(text).toContain("**Question**: Q?\n\n**Previous Solution**: R.\n\n**Critique**: C!");
    expect(text).toContain("final answer in \\boxed{} format");
    expect(text).not.toMatch(/^ /m);
  });

  it("must have all three placeholders; the message shows what was found", () => {
    expect(refinementTemplateProblem("{question}{previous}{critique}")).toBe(
      "lacks {response}; it must contain {question}, {response} and {critique} (found: {question}, {previous}, {critique})",
    );
    expect(refinementTemplateProblem("{question}{response}{critique} \\frac{1}{2}")).toBeNull();
  });

  it("does not fill in what a response contains, nor read $ as a pattern", () => {
    const values = { question: "$&", response: "{critique}", critique: "secret" };
    expect(renderTemplate("{question}|{response}|{critique}", values)).toBe("$&|{critique}|secret");
  });
});

describe("encodeRefinementPrompt", () => {
  const template = "{question}/{response}/{critique}";
  const encode = (prompt: Question["prompt"]) =>
    Buffer.from(encodeRefinementPrompt(codec, template, { ...question, prompt }, "41", "wrong")).toString();

  it("is the template alone for plain prompts, with the tokenizer's own special tokens", () => {
    expect(encode("6·7?")).toBe("\0" + "6·7?/41/wrong");
  });

  it("keeps the system message and earlier turns of a chat", () => {
    const earlier = [
      { role: "system", content: "Be brief." },
      { role: "user", content: "Hi" },
      { role: "assistant", content: "Hello" },
    ] as const;
    expect(encode([...earlier, { role: "user", content: "Compute 6·7?" }])).toBe(
      "<system>Be brief.<user>Hi<assistant>Hello<user>6·7?/41/wrong",
    );
  });
});
