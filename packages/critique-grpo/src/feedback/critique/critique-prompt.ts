/** The prompt that asks a language model to criticise a response. */
import type { Question } from "../../data/question.js";

const INSTRUCTIONS = `Go through the answer step by step. Say of each step whether it is right; where it is wrong, say what the error is and how to correct it. Do not write a solution of your own.
End with one line that gives your verdict on the answer as a whole, either "Conclusion: right [END]" or "Conclusion: wrong [END]".`;

/** The paper's setting: question, the student's answer, the reference solution. */
export const DEFAULT_CRITIQUE_TEMPLATE = `A student has answered a question. Judge the answer with the help of the reference solution.

**Question**: {question}

**Student's Answer**: {response}

**Reference Solution**: {solution}

${INSTRUCTIONS}`;

/** For questions with neither a reference solution nor a gold answer. */
const TEMPLATE_WITHOUT_REFERENCE = `A student has answered a question. Judge the answer.

**Question**: {question}

**Student's Answer**: {response}

${INSTRUCTIONS}`;

const NEEDED = ["question", "response"] as const;
const PLACEHOLDERS = /\{(question|response|gold|solution)\}/g;
type Placeholder = (typeof NEEDED)[number] | "gold" | "solution";

/** What is wrong with a template, null if nothing is; other braces (LaTeX) stay. */
export function critiqueTemplateProblem(template: string): string | null {
  const missing = NEEDED.filter((name) => !template.includes(`{${name}}`));
  if (missing.length === 0) return null;
  return `lacks ${missing.map((name) => `{${name}}`).join(" and ")}; it must contain {question} and {response}, and may contain {gold} and {solution}`;
}

/** Fills in all placeholders at once: text that is put in is not searched again. */
export function renderCritiquePrompt(template: string | undefined, question: Question, response: string): string {
  const { text, gold } = question;
  const solution = question.solution ?? gold;
  const values: Readonly<Record<Placeholder, string>> = { question: text, response, gold, solution };
  const chosen = template ?? (solution === "" ? TEMPLATE_WITHOUT_REFERENCE : DEFAULT_CRITIQUE_TEMPLATE);
  return chosen.replace(PLACEHOLDERS, (_, name: Placeholder) => values[name]);
}
