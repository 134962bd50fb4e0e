/** The reward of stage 1: 1 if the first number is right, whatever the length of the whole answer. */
import { defineReward } from "critique-grpo";
import { expectedTokens } from "./task.js";

export default defineReward(({ question, tokens }) => tokens[0] === expectedTokens(question.text)[0]);
