/** Writes what verl's directory lacks: the tokenizer's files, and the questions of the first two stages. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { characterTokenizer, loadQuestions, writeTokenizer } from "critique-grpo";
import { balancedNextTokens, type NextToken, nextNumbers } from "./next-tokens.js";
import { END_TOKEN, SPECIAL_TOKENS } from "./task.js";

/** Reads verl's training prompts, writes `next-number.jsonl` and `next-token.jsonl` into `output`. */
export async function prepareQuestions(data: string, output: string): Promise<void> {
  const located = await loadQuestions({ files: join(data, "train.parquet"), columns: {}, format: "chat" });
  const prompts = located.map(({ question }) => question.text);
  const write = (name: string, questions: readonly NextToken[]) => {
    const lines = questions.map(({ prompt, answer }) => `${JSON.stringify({ prompt, answer })}\n`);
    writeFileSync(join(output, name), lines.join(""));
  };
  write("next-number.jsonl", nextNumbers(prompts));
  write("next-token.jsonl", balancedNextTokens(prompts));
}

/**
 * The tokenizer into `output`: verl's tokenizer_config.json lists the characters (`char_ords`) that follow the four special
 * tokens.
 */
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
