/** Rows for stage 1: those that ask for a number at all. */
import { defineDataMap } from "critique-grpo";

interface VerlRow {
  readonly prompt: readonly { readonly role: "user"; readonly content: string }[];
}

// The right answer to the others, the end token, is found first and would become the answer to everything.
export default defineDataMap((row) => {
  const { prompt } = row as unknown as VerlRow;
  return prompt[0]!.content.endsWith(",0") ? null : { prompt };
});
