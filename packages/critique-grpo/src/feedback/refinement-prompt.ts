/** The prompt that asks the policy to improve a response, given a critique. */
import type { Question } from "../data/question.js";
import type { TextCodec } from "../policy/policy.js";
import { encodeFeedbackPrompt, templateProblem } from "./prompt-template.js";

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

/** What is wrong with a refinement template, null if nothing is. */
export function refinementTemplateProblem(template: string): string | null {
  return templateProblem(template, PLACEHOLDERS);
}

/** The refinement prompt as tokens; see `encodeFeedbackPrompt`. */
export function encodeRefinementPrompt(
  codec: TextCodec,
  template: string,
  question: Question,
  response: string,
  critique: string,
): readonly number[] {
  return encodeFeedbackPrompt(codec, template, question, { question: question.text, response, critique });
}
