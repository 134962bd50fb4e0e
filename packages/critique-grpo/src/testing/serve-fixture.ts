/** A directory with a real model of a few thousand parameters and a byte tokenizer, for tests of the server. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { loadModel } from "@critique-grpo/engine";
import { byteTokenizer, MINIMAL_CHAT_TEMPLATE, writeTokenizer } from "../text/write-tokenizer.js";

const CONFIG = {
  architectures: ["Qwen3ForCausalLM"],
  model_type: "qwen3",
  vocab_size: 259,
  hidden_size: 16,
  intermediate_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 8,
  max_position_embeddings: 128,
  rms_norm_eps: 1e-6,
  rope_theta: 10000,
  tie_word_embeddings: true,
  hidden_act: "silu",
  attention_bias: false,
  eos_token_id: 257,
};

/** Writes weights, configuration and tokenizer (bytes 0–255, then <|im_start|>, <|im_end|>, <pad>) into the directory. */
export async function writeServedModel(directory: string, seed = 3): Promise<void> {
  const model = await loadModel({ config: CONFIG, seed }, { threads: 1 });
  await model.exportModel(directory, { dtype: "float32" });
  await model.close();
  writeTokenizer(
    directory,
    byteTokenizer({
      special: ["<|im_start|>", "<|im_end|>", "<pad>"],
      eos: "<|im_end|>",
      pad: "<pad>",
      chatTemplate: MINIMAL_CHAT_TEMPLATE,
    }),
  );
  await writeFile(join(directory, "generation_config.json"), JSON.stringify({ eos_token_id: [257] }));
}
