import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ModelShape } from "./flops.js";
import type { SideCommand } from "./side.js";

export const repositoryRoot = fileURLToPath(new URL("../../", import.meta.url));

/** Config S: a Qwen3 shape of five million parameters, as a Hugging Face config.json. */
export const configS = {
  architectures: ["Qwen3ForCausalLM"],
  model_type: "qwen3",
  vocab_size: 512,
  hidden_size: 256,
  intermediate_size: 768,
  num_hidden_layers: 6,
  num_attention_heads: 8,
  num_key_value_heads: 4,
  head_dim: 32,
  hidden_act: "silu",
  attention_bias: false,
  attention_dropout: 0,
  initializer_range: 0.02,
  rms_norm_eps: 1e-6,
  rope_theta: 10000,
  max_position_embeddings: 512,
  tie_word_embeddings: false,
  use_sliding_window: false,
  torch_dtype: "float32",
  bos_token_id: 1,
  eos_token_id: 1,
} as const satisfies ModelShape & Record<string, unknown>;

export const benchmarkNames = ["training", "generation", "grpo-step"] as const;
export type BenchmarkName = (typeof benchmarkNames)[number];

export interface BenchmarkDefinition {
  readonly name: BenchmarkName;
  readonly title: string;
  readonly peerTitle: string;
  /** Our speed over the peer's that the project asks of itself. */
  readonly wantedRatio: number;
  /** Numbers after the model directory; both sides take the same. */
  readonly arguments: readonly number[];
  /**
   * Settings of the peer that only a new process can take: arguments after the common ones. Where there are several, the
   * fastest is found first.
   */
  readonly peerVariants?: readonly (readonly string[])[];
  readonly ours: string;
  readonly peer: string;
}

export const trainingBatch = 32;
export const trainingLength = 128;

export const definitions: readonly BenchmarkDefinition[] = [
  {
    name: "training",
    title: `Training: forward, backward, AdamW; batch ${trainingBatch} × ${trainingLength} tokens`,
    peerTitle: "PyTorch eager, SDPA",
    wantedRatio: 0.95,
    arguments: [trainingBatch, trainingLength],
    ours: "training",
    peer: "training.py",
  },
  {
    name: "generation",
    title: "Generation: sampling, batch 128, 8 prompt + 64 new tokens",
    peerTitle: "transformers generate",
    wantedRatio: 2,
    arguments: [128, 8, 64],
    ours: "generation",
    peer: "generation.py",
  },
  {
    name: "grpo-step",
    title: "GRPO step: 16 prompts × 8 completions × 64 tokens",
    peerTitle: "TRL GRPOTrainer",
    wantedRatio: 1.4,
    arguments: [16, 8, 8, 64],
    // Completions in one micro-batch, and the attention implementation.
    peerVariants: [
      ["128", "sdpa"],
      ["32", "sdpa"],
      ["128", "eager"],
    ],
    ours: "grpo-step",
    peer: "grpo_step.py",
  },
];

/** glibc would return and map again the large blocks of every step; this is the faster setting for PyTorch. */
const peerEnvironment = { MALLOC_MMAP_THRESHOLD_: "2147483647", MALLOC_TRIM_THRESHOLD_: "4294967296" };

const python = join(repositoryRoot, ".venv", "torch", "bin", "python");

export interface CommandOptions {
  readonly modelDirectory: string;
  readonly quick: boolean;
  readonly threads: number | undefined;
}

export function oursCommand(definition: BenchmarkDefinition, options: CommandOptions): SideCommand {
  const script = fileURLToPath(new URL(`./ours/${definition.ours}.js`, import.meta.url));
  const numbers = definition.arguments.map(String);
  return {
    command: process.execPath,
    args: [script, options.modelDirectory, ...numbers],
    env: options.threads === undefined ? {} : { BENCH_THREADS: String(options.threads) },
  };
}

export function peerCommand(
  definition: BenchmarkDefinition,
  variant: readonly string[],
  options: CommandOptions,
): SideCommand {
  const script = join(repositoryRoot, "benchmarks", "peers", definition.peer);
  const rest = [...definition.arguments.map(String), ...variant];
  const tries = { BENCH_TRIES: options.quick ? "1" : "3" };
  const env = { ...peerEnvironment, ...tries, ...threadEnvironment(options.threads) };
  return { command: python, args: [script, options.modelDirectory, ...rest], env };
}

export function sgemmCommand({ threads }: CommandOptions): SideCommand {
  const script = join(repositoryRoot, "benchmarks", "peers", "sgemm.py");
  return { command: python, args: [script], env: threadEnvironment(threads) };
}

function threadEnvironment(threads: number | undefined): Record<string, string> {
  return threads === undefined ? {} : { OMP_NUM_THREADS: String(threads), OPENBLAS_NUM_THREADS: String(threads) };
}
