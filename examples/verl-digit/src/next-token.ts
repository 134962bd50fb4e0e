/** The reward of stages 1 and 2: 1 if the one token is the right one. */
import { defineReward } from "critique-grpo";
import { tokenOf } from "./task.js";

export default defineReward(({ question, tokens }) => tokens[0] === tokenOf(question.gold));
