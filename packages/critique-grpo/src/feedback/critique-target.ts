/** A critique as something to learn (Critique Fine-Tuning, arXiv 2501.17703): log P(critique | question and response). */
import type { Question } from "../data/question.js";
import type { TextCodec, TokenSequence } from "../policy/policy.js";
import { encodeResponse } from "../text/response.js";
import { encodeFeedbackPrompt, templateProblem } from "./prompt-template.js";

/** After Critique Fine-Tuning: question and response; no gold answer and no reference solution. */
export const DEFAULT_CRITIQUE_TARGET_TEMPLATE = `Please critique whether the following solution to the question is correct.

Question:
{question}

Solution:
{response}`;

const PLACEHOLDERS = ["question", "response"] as const;

/** What is wrong with a template, null if nothing is. */
export function critiqueTargetTemplateProblem(template: string): string | null {
  return templateProblem(template, PLACEHOLDERS);
}

/** Question and response as the prompt, the critique as the response. Throws Error where the tokenizer refuses a text. */
export function encodeCritiqueTarget(
  codec: TextCodec,
  template: string,
  question: Question,
  response: string,
  critique: string,
): TokenSequence {
  const prompt = encodeFeedbackPrompt(codec, template, question, { question: question.text, response });
  return { prompt, response: encodeResponse(codec, critique) };
}
