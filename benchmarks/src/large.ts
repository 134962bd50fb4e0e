/**
 * Training at the sizes of Qwen3-0.6B (random weights) beside PyTorch + PEFT, with its peak memory beside the estimate.
 *
 *     node benchmarks/dist/large.js [lora] [stored] [full] [long] [--sequences 8] [--memory-gib N] [--no-peer]
 *
 * Each measurement is a process of its own. One forward-backward-step takes minutes: run it on an idle machine, or believe
 * the ratio in processor time. `stored` is `lora` with the base kept in the 16 bits of its file; `long` is one sequence of
 * 8,192 tokens with adapters. Neither has a peer. `--memory-gib` is what training may plan with (default: 70 % of the
 * machine's). Linux only (VmHWM).
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  defaultMemoryBytes,
  estimateTrainingMemory,
  loadModel,
  loraConfig,
  parseModelConfig,
  peakBytes,
} from "@critique-grpo/engine";

const root = fileURLToPath(new URL("../..", import.meta.url));
const directory = join(root, ".cache/qwen3-0.6b-shape");
const shape = {
  architectures: ["Qwen3ForCausalLM"],
  model_type: "qwen3",
  vocab_size: 151936,
  hidden_size: 1024,
  intermediate_size: 3072,
  num_hidden_layers: 28,
  num_attention_heads: 16,
  num_key_value_heads: 8,
  head_dim: 128,
  max_position_embeddings: 40960,
  tie_word_embeddings: true,
  rope_theta: 1_000_000,
};
const lora = { rank: 16, alpha: 32 };
const cases = {
  lora: { lora: true, time: 1024, peer: true, goalGB: 10 },
  stored: { lora: true, stored: true, time: 1024, peer: false, goalGB: 10 },
  full: { lora: false, time: 1024, peer: true, goalGB: 16 },
  long: { lora: true, time: 8192, peer: false, goalGB: 24 },
} as const satisfies Readonly<Record<string, LargeCase>>;
type Case = keyof typeof cases;
const isCase = (name: string): name is Case => Object.hasOwn(cases, name);

interface LargeCase {
  readonly lora: boolean;
  /** The base keeps the 16 bits of its file. */
  readonly stored?: boolean;
  /** Tokens of a sequence. */
  readonly time: number;
  readonly peer: boolean;
  readonly goalGB: number;
}

/** What a process reports of itself. */
interface Measurement {
  readonly tokensPerSecond: number;
  /** The same by the processor time of all threads. */
  readonly tokensPerCpuSecond: number;
  readonly peakGB: number;
}

/** One forward-backward-step in this process; the report goes to standard output as JSON. */
async function measure(name: Case, count: number, memoryBytes: number): Promise<void> {
  const { lora: adapted, stored, time }: LargeCase = cases[name];
  const frozenWeights = stored ? "stored" : "float32";
  const model = await loadModel({ directory }, { memoryBytes, ...(adapted ? { lora, frozenWeights } : {}) });
  const sequences = Array.from({ length: count }, (_, i) => ({
    prompt: [i + 1],
    // The last token is predicted, not read: time tokens run through the network.
    response: Array.from({ length: time }, (_, t) => (i * 7919 + t * 104729) % shape.vocab_size),
  }));
  const start = performance.now();
  const cpuStart = process.cpuUsage();
  await model.forwardBackward(sequences, (_, { logprobs }) => ({
    loss: -logprobs.reduce((sum, l) => sum + l, 0) / (count * time),
    logprobGradient: new Float32Array(logprobs.length).fill(-1 / (count * time)),
  }));
  const { gradNorm } = await model.optimizerStep({
    ...{ learningRate: 1e-4, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0, maxGradNorm: 1 },
  });
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(cpuStart);
  const tokens = count * time;
  const tokensPerCpuSecond = (tokens * 1e6) / (user + system);
  const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  process.stdout.write(
    `${JSON.stringify({ tokensPerSecond: tokens / seconds, tokensPerCpuSecond, peakGB: (Number(peak) * 1024) / 1e9, gradNorm })}\n`,
  );
  await model.close();
}

function report(command: string, parameters: readonly string[]): Measurement {
  const { status, stdout } = spawnSync(command, parameters, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
  if (status !== 0) throw new Error(`${command} ${parameters.join(" ")} ended with ${status}`);
  return JSON.parse(stdout.trim().split("\n").at(-1)!) as Measurement;
}

async function main(): Promise<void> {
  const words = process.argv.slice(2);
  const option = (name: string) => (words.includes(name) ? Number(words[words.indexOf(name) + 1]) : undefined);
  const count = option("--sequences") ?? 8;
  if (!Number.isSafeInteger(count) || count < 1) throw new Error("--sequences must be a whole number of at least 1");
  const memoryGiB = option("--memory-gib") ?? defaultMemoryBytes() / 2 ** 30;
  if (!(memoryGiB > 0)) throw new Error("--memory-gib must be a number above 0");
  const named = words.filter(isCase);
  if (words[0] === "--measure") return measure(named[0]!, count, memoryGiB * 2 ** 30);
  if (!existsSync(join(directory, "model.safetensors"))) {
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, "config.json"), JSON.stringify(shape));
    const model = await loadModel({ config: shape, seed: 1 }, { lora });
    await model.exportModel(directory, { dtype: "bfloat16" });
    await model.close();
  }
  const config = parseModelConfig(shape, "shape");
  for (const name of named.length > 0 ? named : (Object.keys(cases) as Case[])) {
    const { lora: adapted, stored, time, peer, goalGB }: LargeCase = cases[name];
    const sequences = name === "long" ? 1 : count;
    const demand = {
      config,
      longest: time,
      microBatchTokens: time,
      sequences,
      ...(adapted ? { lora: loraConfig(lora), keepHalves: stored } : {}),
    };
    const estimated = peakBytes(estimateTrainingMemory(demand), memoryGiB * 2 ** 30) / 1e9;
    const script = fileURLToPath(import.meta.url);
    const numbers = ["--sequences", String(sequences), "--memory-gib", String(memoryGiB)];
    const ours = report(process.execPath, [script, "--measure", name, ...numbers]);
    const line = (side: string, { tokensPerSecond, tokensPerCpuSecond, peakGB }: Measurement, more: string) =>
      `${name.padEnd(6)} ${side.padEnd(14)} ${tokensPerSecond.toFixed(1).padStart(7)} tokens/s  ${tokensPerCpuSecond.toFixed(1)} a CPU second  peak ${peakGB.toFixed(1)} GB${more}`;
    const off = (100 * (estimated / ours.peakGB - 1)).toFixed(0);
    console.log(line("critique-grpo", ours, ` (goal ${goalGB}; estimated ${estimated.toFixed(1)}, off by ${off} %)`));
    if (!peer || words.includes("--no-peer")) continue;
    const python = join(root, ".venv/torch/bin/python");
    const theirs = report(python, [
      join(root, "benchmarks/peers/large.py"),
      name,
      directory,
      String(sequences),
      String(time),
    ]);
    console.log(line(adapted ? "PyTorch + PEFT" : "PyTorch", theirs, ""));
    const speed = (ours.tokensPerSecond / theirs.tokensPerSecond).toFixed(2);
    const inCpuTime = (ours.tokensPerCpuSecond / theirs.tokensPerCpuSecond).toFixed(2);
    console.log(`${name.padEnd(6)} ${speed}× the speed, ${inCpuTime}× in CPU time`);
  }
}

await main();
