/** Rows for stage 1: all but those that ask for no number, whose right answer is the end token alone. */
import { defineDataMap } from "critique-grpo";

interface VerlRow {
  readonly prompt: readonly { readonly role: "user"; readonly content: string }[];
}

// They are solved in a few steps, at the price of a model that ends every response at once.
export default defineDataMap((row) => {
  const { prompt } = row as unknown as VerlRow;
  return prompt[0]!.content.endsWith(",0") ? null : { prompt };
});
