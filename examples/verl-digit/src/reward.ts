/** verl's dense reward: length of the correct prefix, counting the end token, over the whole length. */
import { defineReward } from "critique-grpo";
import { expectedTokens } from "./task.js";

// On tokens, not on text: the text leaves special tokens out, and a response with a stray one is not right.
export default defineReward(({ question, tokens }) => {
  const expected = expectedTokens(question.text);
  let correct = 0;
  while (correct < expected.length && tokens[correct] === expected[correct]) correct++;
  return correct / expected.length;
});
