// A run of a few steps with everything that is logged, stopped once and resumed. Usage: node make_run.mjs DIRECTORY
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { byteTokenizer, writeTokenizer } from "critique-grpo";
import { stringify } from "yaml";

const directory = process.argv[2];
const model = {
  architectures: ["Qwen3ForCausalLM"],
  model_type: "qwen3",
  vocab_size: 257,
  hidden_size: 16,
  intermediate_size: 32,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 8,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-6,
  rope_theta: 10000,
  tie_word_embeddings: true,
  hidden_act: "silu",
  attention_bias: false,
  eos_token_id: 256,
};
mkdirSync(join(directory, "model"), { recursive: true });
writeFileSync(join(directory, "model/config.json"), JSON.stringify(model));
writeTokenizer(join(directory, "model"), byteTokenizer({ special: ["<|end|>"], eos: "<|end|>" }));
const rows = ["1+1", "2+2", "3+3", "4+4"].map((question) => JSON.stringify({ question, answer: "x" }));
writeFileSync(join(directory, "data.jsonl"), `${rows.join("\n")}\n`);
const config = {
  preset: "critique-grpo",
  engine: { type: "embedded", model: { config: "model/config.json", seed: 1 }, threads: 1 },
  data: { files: "data.jsonl", format: "plain" },
  steps: 3,
  questionsPerStep: 2,
  miniBatches: 1,
  sampling: { maxTokens: 8 },
  reward: { functions: [{ name: "exact-match" }] },
  algorithm: { klCoefficient: 0.01 },
  refinement: { template: "{question} {response} {critique}" },
  evaluation: { files: "data.jsonl", samples: 4 },
  checkpoint: { every: 1 },
  logging: { tensorboard: true },
};
writeFileSync(join(directory, "run.yaml"), stringify(config));

const cli = new URL("../../packages/critique-grpo/bin/critique-grpo.mjs", import.meta.url).pathname;
function critiqueGrpo(...argv) {
  const { status } = spawnSync(process.execPath, [cli, ...argv], { stdio: ["ignore", "ignore", "inherit"] });
  if (status !== 0) throw new Error(`critique-grpo ${argv.join(" ")} ended with ${status}`);
}
const run = join(directory, "run");
critiqueGrpo("train", join(directory, "run.yaml"), "--run-directory", run);
// Longer, from its checkpoint: the file is begun anew.
critiqueGrpo("train", join(directory, "run.yaml"), "--resume", run, "--set", "steps=5");
critiqueGrpo("export-tensorboard", run, "--out", join(directory, "exported"));
