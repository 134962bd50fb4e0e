/** What a Hugging Face model directory needs beside its weights. Characters are tokens, and so are a critic's sentences. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { characterTokenizer, writeTokenizer } from "critique-grpo";
import { CONCLUSION_RIGHT, CONCLUSION_WRONG, PLAN_IS } from "./critique.js";
import { OPERATION_NAMES, WORD_LETTERS } from "./task.js";

const END_TOKEN = "$";
/** The sentences of the built-in critics `simple` and `simple_gt`, in pieces. */
const INDICATIVE = [
  "The generated solution is correct",
  "The generated solution is incorrect",
  ", the ground truth is ",
];

export const VOCABULARY: readonly string[] = [
  END_TOKEN,
  ..."0123456789:=?.",
  ...WORD_LETTERS,
  ...OPERATION_NAMES,
  ...INDICATIVE,
  PLAN_IS,
  CONCLUSION_RIGHT,
  CONCLUSION_WRONG,
];

/** Architecture of the fresh model: a Qwen3 of 0.25 million parameters. */
export function modelConfig(): Record<string, unknown> {
  return {
    architectures: ["Qwen3ForCausalLM"],
    model_type: "qwen3",
    vocab_size: VOCABULARY.length,
    hidden_size: 96,
    intermediate_size: 256,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 4,
    head_dim: 32,
    hidden_act: "silu",
    max_position_embeddings: 64,
    rope_theta: 10_000,
    rms_norm_eps: 1e-6,
    attention_bias: false,
    attention_dropout: 0,
    // About 1/√hidden_size, as in examples/carry-addition.
    initializer_range: 0.1,
    tie_word_embeddings: false,
    use_cache: true,
    bos_token_id: null,
    eos_token_id: VOCABULARY.indexOf(END_TOKEN),
    torch_dtype: "float32",
  };
}

/** Writes tokenizer.json, tokenizer_config.json, and with `config` also config.json and generation_config.json. */
export async function writeModelFiles(directory: string, options: { config: boolean }): Promise<void> {
  writeTokenizer(directory, characterTokenizer({ vocabulary: VOCABULARY, special: [END_TOKEN], eos: END_TOKEN }));
  if (!options.config) return;
  const { eos_token_id } = modelConfig();
  const files = { "config.json": modelConfig(), "generation_config.json": { eos_token_id } };
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(directory, name), `${JSON.stringify(content, null, 2)}\n`);
  }
}
