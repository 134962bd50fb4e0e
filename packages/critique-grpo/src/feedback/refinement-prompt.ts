/** The prompt that asks the policy to improve a response, given a critique. */
import type { Question } from "../data/question.js";
import type { TextCodec } from "../policy/policy.js";
import { encodePrompt } from "../text/prompt.js";

/** After the paper: question, previous solution, critique, and what to do with them. */
export const DEFAULT_REFINEMENT_TEMPLATE = `Given the following inputs:

**Question**: {question}

**Previous Solution**: {response}

**Critique**: {critique}

Please re-answer by:
- Correcting potential errors identified in the critique, if they exist.
- Providing clear, step-by-step reasoning for your solution.
- Presenting your final answer in \\boxed{} format.

Ensure the revised solution addresses all issues raised in the critique.`;

const PLACEHOLDERS = ["question", "response", "critique"] as const;
type Placeholder = (typeof PLACEHOLDERS)[number];

/** What is wrong with a template, null if nothing is. All three placeholders are needed; other braces (LaTeX) stay. */
export function refinementTemplateProblem(template: string): string | null {
  const missing = PLACEHOLDERS.filter((name) => !template.includes(`{${name}}`));
  if (missing.length === 0) return null;
  const found = [...template.matchAll(/\{\w+\}/g)].map((match) => match[0]);
  return (
    `lacks ${missing.map((name) => `{${name}}`).join(", ")}; it must contain {question}, {response} and {critique}` +
    (found.length > 0 ? ` (found: ${found.join(", ")})` : "")
  );
}

/** Fills in all placeholders at once: text that is put in is not searched again. */
export function renderRefinementPrompt(template: string, values: Readonly<Record<Placeholder, string>>): string {
  return template.replace(/\{(question|response|critique)\}/g, (_, name: Placeholder) => values[name]);
}

/**
 * The refinement prompt as tokens. A chat prompt keeps its system message and earlier turns, its last user message
 * becomes the rendered template; for a plain prompt the template is the whole text, without chat markup.
 */
export function encodeRefinementPrompt(
  codec: TextCodec,
  template: string,
  question: Question,
  response: string,
  critique: string,
): readonly number[] {
  const text = renderRefinementPrompt(template, { question: question.text, response, critique });
  if (typeof question.prompt === "string") return encodePrompt(codec, text);
  const last = question.prompt.findLastIndex((message) => message.role === "user");
  const before = last < 0 ? question.prompt : question.prompt.slice(0, last);
  return encodePrompt(codec, [...before, { role: "user", content: text }]);
}
