/** A small but complete project on disk for tests of the CLI: model configuration, tokenizer, data, reward, YAML. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import type { CliIo } from "../cli/io.js";
import { main } from "../cli/program.js";
import { byteTokenizer, writeTokenizer } from "../text/write-tokenizer.js";

const END = "<|end|>";

/** Bytes and one special token; a few thousand parameters. */
export const PROJECT_MODEL = {
  architectures: ["Qwen3ForCausalLM"],
  model_type: "qwen3",
  vocab_size: 257,
  hidden_size: 16,
  intermediate_size: 32,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 8,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-6,
  rope_theta: 10000,
  tie_word_embeddings: true,
  hidden_act: "silu",
  attention_bias: false,
  eos_token_id: 256,
};

export const PROJECT_CONFIG = {
  preset: "dr-grpo",
  engine: { type: "embedded", model: { config: "model/config.json", seed: 1 }, threads: 1 },
  data: { files: "data.jsonl", format: "plain" },
  steps: 2,
  questionsPerStep: 2,
  miniBatches: 1,
  sampling: { maxTokens: 6 },
  reward: { functions: [{ name: "bytes", module: "reward.ts" }] },
  algorithm: { initialResponses: 3 },
  optimizer: { learningRate: 1e-3 },
  checkpoint: { every: 1 },
};

export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export class CliProject {
  readonly directory: string;

  constructor() {
    this.directory = mkdtempSync(join(tmpdir(), "cli-project-"));
    mkdirSync(this.path("model"));
    this.write("model/config.json", JSON.stringify(PROJECT_MODEL));
    writeTokenizer(this.path("model"), byteTokenizer({ special: [END], eos: END }));
    this.write(
      "data.jsonl",
      ["12", "34", "56"].map((question) => `${JSON.stringify({ question, answer: "x" })}\n`).join(""),
    );
    // Lower bytes are better: something that a step can learn from, whatever the model says.
    this.write(
      "reward.ts",
      `import { defineReward } from "critique-grpo";
       export default defineReward(({ tokens }) => tokens.filter((token) => token < 128).length / tokens.length);`,
    );
    this.write("run.yaml", stringify(PROJECT_CONFIG));
  }

  path(...parts: string[]): string {
    return join(this.directory, ...parts);
  }

  /** Writes a file of the project; its absolute path. */
  write(name: string, content: string | Uint8Array): string {
    writeFileSync(this.path(name), content);
    return this.path(name);
  }

  /** The CLI in this process. */
  run(argv: readonly string[], options: { stdin?: string; signal?: AbortSignal } = {}): Promise<CliResult> {
    return runCli(argv, options);
  }

  remove(): void {
    rmSync(this.directory, { recursive: true });
  }
}

export async function runCli(
  argv: readonly string[],
  options: { stdin?: string; signal?: AbortSignal } = {},
): Promise<CliResult> {
  let stdout = "";
  let stderr = "";
  const io: CliIo = {
    stdout: { write: (text) => (stdout += text) },
    stderr: { write: (text) => (stderr += text) },
    readStdin: async () => options.stdin ?? null,
    interruption: () => ({ signal: options.signal ?? new AbortController().signal, release: () => {} }),
  };
  const code = await main(argv, io);
  return { code, stdout, stderr };
}
