/** Rows for stage 1: those that ask for one to three numbers. */
import { defineDataMap } from "critique-grpo";

interface VerlRow {
  readonly prompt: readonly { readonly role: "user"; readonly content: string }[];
}

// None at all: the right answer, the end token, is found first and would become the answer to everything. Many: a right
// first number is a small part of the answer, and the few questions with large rewards would drown them.
const COUNTS = ["1", "2", "3"];

export default defineDataMap((row) => {
  const { prompt } = row as unknown as VerlRow;
  return COUNTS.includes(prompt[0]!.content.split(",").at(-1)!) ? { prompt } : null;
});
