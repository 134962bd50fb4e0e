/** A critic that gives the right columns, whatever the response: `simple_gt` in the alphabet of this task. */
import { defineCritic } from "critique-grpo";
import { writeCritique } from "./critique.js";
import { parseQuestion, trueColumns } from "./task.js";

export default defineCritic(({ question, response }) =>
  writeCritique(null, trueColumns(parseQuestion(question.text)), response.reward.correct, "ground-truth"),
);
