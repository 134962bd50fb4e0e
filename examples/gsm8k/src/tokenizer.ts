/** The tokenizer in model/: one UTF-8 byte a token, ChatML around messages. `node dist/tokenizer.js` writes it again. */
import { argv } from "node:process";
import { fileURLToPath } from "node:url";
import { byteTokenizer, MINIMAL_CHAT_TEMPLATE, type SimpleTokenizerFiles, writeTokenizer } from "critique-grpo";

export const MODEL_DIRECTORY = fileURLToPath(new URL("../model", import.meta.url));

export function gsm8kTokenizer(): SimpleTokenizerFiles {
  return byteTokenizer({
    special: ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    eos: "<|im_end|>",
    pad: "<|endoftext|>",
    chatTemplate: MINIMAL_CHAT_TEMPLATE,
  });
}

if (argv[1] === fileURLToPath(import.meta.url)) writeTokenizer(MODEL_DIRECTORY, gsm8kTokenizer());
