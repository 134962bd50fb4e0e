/** The reward of both configurations: 1 if the number after `=` is the sum, else 0. It does not look at the columns. */
import { defineReward } from "critique-grpo";
import { rewardResponse } from "./task.js";

export default defineReward(({ question, text, stopReason }) =>
  rewardResponse(question.gold, text, stopReason === "stop"),
);
