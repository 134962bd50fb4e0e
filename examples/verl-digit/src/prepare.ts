/**
 * Writes the tokenizer that verl's directory lacks. Its tokenizer_config.json lists the characters (`char_ords`) that
 * follow the four special tokens.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { characterTokenizer, writeTokenizer } from "critique-grpo";
import { END_TOKEN, SPECIAL_TOKENS } from "./task.js";

/** Reads the model directory, writes the tokenizer's files into `output`. */
export function prepareTokenizer(model: string, output: string): void {
  const config = JSON.parse(readFileSync(join(model, "tokenizer_config.json"), "utf8")) as {
    char_ords: number[];
    chat_template: string;
  };
  const files = characterTokenizer({
    vocabulary: [...SPECIAL_TOKENS, ...config.char_ords.map((code) => String.fromCharCode(code))],
    special: [...SPECIAL_TOKENS],
    eos: "E",
    pad: "P",
    unknown: "U",
    chatTemplate: config.chat_template,
    // The template ends the prompt with it.
    config: { sep_token: "S" },
  });
  writeTokenizer(output, files);
  // Nothing right can follow any special token: a response that draws one has ended.
  const others = [...SPECIAL_TOKENS.keys()].filter((id) => id !== END_TOKEN);
  writeFileSync(
    join(output, "generation_config.json"),
    `${JSON.stringify({ eos_token_id: [END_TOKEN, ...others] })}\n`,
  );
}
