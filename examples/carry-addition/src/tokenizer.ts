/** Writes what a Hugging Face model directory needs beside its weights, so that the example's model is like any other. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

/** The end token ends a response; the pad token also stands for "nothing to say" in a critique. */
export const END_TOKEN = "$";
export const PAD_TOKEN = "_";
/** One token a character. */
export const VOCABULARY: readonly string[] = [END_TOKEN, PAD_TOKEN, ..."0123456789+:=XVGT"];

/** Architecture of the fresh model: a Qwen3 of 0.4 million parameters. */
export function modelConfig(): Record<string, unknown> {
  return {
    architectures: ["Qwen3ForCausalLM"],
    model_type: "qwen3",
    vocab_size: VOCABULARY.length,
    hidden_size: 128,
    intermediate_size: 384,
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
    // About 1/√hidden_size: the usual 0.02 is meant for models ten times as wide, and learns slowly here.
    initializer_range: 0.1,
    tie_word_embeddings: false,
    use_cache: true,
    bos_token_id: null,
    eos_token_id: VOCABULARY.indexOf(END_TOKEN),
    pad_token_id: VOCABULARY.indexOf(PAD_TOKEN),
    torch_dtype: "float32",
  };
}

/** A character-level tokenizer in the format of the `tokenizers` library: byte-pair encoding without any merge. */
export function tokenizerJson(): Record<string, unknown> {
  const end = VOCABULARY.indexOf(END_TOKEN);
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [
      {
        id: end,
        content: END_TOKEN,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: true,
      },
    ],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: { type: "Fuse" },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(VOCABULARY.map((token, id) => [token, id])),
      merges: [],
    },
  };
}

export function tokenizerConfig(): Record<string, unknown> {
  return {
    tokenizer_class: "PreTrainedTokenizerFast",
    bos_token: null,
    eos_token: END_TOKEN,
    pad_token: PAD_TOKEN,
    add_bos_token: false,
    clean_up_tokenization_spaces: false,
    model_max_length: 64,
  };
}

/** Writes tokenizer.json and tokenizer_config.json, and with `config` also config.json and generation_config.json. */
export async function writeModelFiles(directory: string, options: { config: boolean }): Promise<void> {
  const files: Record<string, Record<string, unknown>> = {
    "tokenizer.json": tokenizerJson(),
    "tokenizer_config.json": tokenizerConfig(),
  };
  if (options.config) {
    const { eos_token_id, pad_token_id } = modelConfig();
    files["config.json"] = modelConfig();
    files["generation_config.json"] = { eos_token_id, pad_token_id };
  }
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(directory, name), `${JSON.stringify(content, null, 2)}\n`);
  }
}
