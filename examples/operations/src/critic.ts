/** The critic of the `text` setting: a program that knows the right operations and names them. */
import { defineCritic } from "critique-grpo";
import { writeCritique } from "./critique.js";
import { planOf } from "./task.js";

export default defineCritic(({ question, response }) =>
  writeCritique(planOf(question.text, question.gold), response.reward.correct),
);
