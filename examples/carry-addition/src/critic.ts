/** The critic of `critique-grpo.yaml`: a program that compares each column with the right one. */
import { defineCritic } from "critique-grpo";
import { writeCritique } from "./critique.js";
import { parseQuestion, parseResponse, trueColumns } from "./task.js";

export default defineCritic(({ question, response }) => {
  const written = parseResponse(response.text)?.columns ?? null;
  return writeCritique(written, trueColumns(parseQuestion(question.text)), response.reward.correct, "step-by-step");
});
