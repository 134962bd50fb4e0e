/** The prompt that asks a language model to criticise a response. */
import type { Question } from "../../data/question.js";
import { renderTemplate, templateProblem } from "../prompt-template.js";

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

/** What is wrong with a template, null if nothing is; {gold} and {solution} may be left out. */
export function critiqueTemplateProblem(template: string): string | null {
  return templateProblem(template, ["question", "response"]);
}

/** {solution} is the gold answer where there is no reference solution. */
export function renderCritiquePrompt(template: string | undefined, question: Question, response: string): string {
  const { text, gold } = question;
  const solution = question.solution ?? gold;
  const chosen = template ?? (solution === "" ? TEMPLATE_WITHOUT_REFERENCE : DEFAULT_CRITIQUE_TEMPLATE);
  return renderTemplate(chosen, { question: text, response, gold, solution });
}
