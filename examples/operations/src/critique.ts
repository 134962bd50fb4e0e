/** What critics say. Each sentence is one token (`tokenizer.ts`). */
import type { Plan } from "./task.js";

export const PLAN_IS = "The operations are ";
export const CONCLUSION_WRONG = "\nConclusion: wrong [END]";
export const CONCLUSION_RIGHT = "\nConclusion: right [END]";

/** Words in which a critic, program or model, names the operations that it thinks right. */
export function writeCritique(plan: Plan, correct: boolean): string {
  return `${PLAN_IS}${plan.join("")}.${correct ? CONCLUSION_RIGHT : CONCLUSION_WRONG}`;
}

/** Context first: question and response keep their distance, so that what the model knows of them holds in both prompts. */
export const REFINEMENT_TEMPLATE = "{response}{critique}{question}";
/** Asks the model to criticise. */
export const CRITIQUE_TEMPLATE = "{question}{response}?";

/** Fills in a template. */
export function fill(template: string, values: Readonly<Record<string, string>>): string {
  return template.replace(/\{(\w+)\}/g, (_, name: string) => values[name]!);
}
