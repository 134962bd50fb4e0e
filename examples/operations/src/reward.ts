/** The reward: 1 if the response has ended and its digits are the answer. The operations it names do not count. */
import { defineReward } from "critique-grpo";
import { parseResponse } from "./task.js";

export default defineReward(({ question, text, stopReason }) =>
  stopReason === "stop" && parseResponse(text)?.result === question.gold ? 1 : 0,
);
