/**
 * Writes the tokenizer that verl's directory lacks: `node dist/prepare.js [model directory] [output directory]`.
 * Its tokenizer_config.json lists the characters (`char_ords`) that follow the four special tokens.
 */
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { characterTokenizer, writeTokenizer } from "critique-grpo";
import { SPECIAL_TOKENS } from "./task.js";

const EXAMPLE = resolve(import.meta.dirname, "..");
const [
  model = join(EXAMPLE, "../../../shared/data/verl-digit-completion"),
  output = join(EXAMPLE, "../../runs/verl-digit/tokenizer"),
] = process.argv.slice(2);

const config = JSON.parse(readFileSync(join(model, "tokenizer_config.json"), "utf8")) as {
  char_ords: number[];
  chat_template: string;
};
writeTokenizer(
  output,
  characterTokenizer({
    vocabulary: [...SPECIAL_TOKENS, ...config.char_ords.map((code) => String.fromCharCode(code))],
    special: [...SPECIAL_TOKENS],
    eos: "E",
    pad: "P",
    unknown: "U",
    chatTemplate: config.chat_template,
    // The template ends the prompt with it.
    config: { sep_token: "S" },
  }),
);
console.log(`tokenizer written to ${output}`);
