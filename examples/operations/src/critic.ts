/** The critic of the `text` setting: a program that knows the right operation and names it. */
import { defineCritic } from "critique-grpo";
import { writeCritique } from "./critique.js";
import { operationOf } from "./task.js";

export default defineCritic(({ question, response }) =>
  writeCritique(operationOf(question.text, question.gold), response.reward.correct),
);
