/** Prompts about a response: templates with {placeholders}, put in the place of the question. */
import type { Question } from "../data/question.js";
import type { TextCodec } from "../policy/policy.js";
import { encodePrompt } from "../text/prompt.js";

/** What is wrong with a template, null if nothing is. All placeholders are needed; other braces (LaTeX) stay. */
export function templateProblem(template: string, placeholders: readonly string[]): string | null {
  const missing = placeholders.filter((name) => !template.includes(`{${name}}`));
  if (missing.length === 0) return null;
  const found = [...template.matchAll(/\{\w+\}/g)].map((match) => match[0]);
  const braced = placeholders.map((name) => `{${name}}`);
  return (
    `lacks ${missing.map((name) => `{${name}}`).join(", ")}; it must contain ${braced.slice(0, -1).join(", ")} and ${braced.at(-1)}` +
    (found.length > 0 ? ` (found: ${found.join(", ")})` : "")
  );
}

/** Fills in all placeholders at once: text that is put in is not searched again. */
export function renderTemplate(template: string, values: Readonly<Record<string, string>>): string {
  return template.replace(/\{(\w+)\}/g, (braced, name: string) =>
    Object.hasOwn(values, name) ? values[name]! : braced,
  );
}

/**
 * A filled template as tokens. A chat prompt keeps its system message and earlier turns, its last user message becomes
 * the rendered template; for a plain prompt the template is the whole text, without chat markup.
 */
export function encodeFeedbackPrompt(
  codec: TextCodec,
  template: string,
  question: Question,
  values: Readonly<Record<string, string>>,
): readonly number[] {
  const text = renderTemplate(template, values);
  if (typeof question.prompt === "string") return encodePrompt(codec, text);
  const last = question.prompt.findLastIndex((message) => message.role === "user");
  const before = last < 0 ? question.prompt : question.prompt.slice(0, last);
  return encodePrompt(codec, [...before, { role: "user", content: text }]);
}
