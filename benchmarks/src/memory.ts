/**
 * The estimate of memory beside the measured peak, for models of middle size: training in its modes, and sampling beside it.
 *
 *     npm run bench:memory [-- NAME ...]
 *
 * Each row is a process of its own (VmHWM: Linux only). Ends with status 1 if an estimate is off by more than 15 %.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import {
  defaultMemoryBytes,
  estimateGenerationMemory,
  estimateTrainingMemory,
  type LoadOptions,
  type LoraOptions,
  loadModel,
  loraConfig,
  parseModelConfig,
  peakBytes,
  type TokenLogprobs,
} from "@critique-grpo/engine";
import { models } from "./models.js";

interface MemoryCase {
  readonly config: Readonly<Record<string, unknown>> & { readonly vocab_size: number };
  readonly lora?: LoraOptions;
  readonly recompute?: NonNullable<LoadOptions["recompute"]>;
  /** Tokens of every sequence, and how many there are. */
  readonly time: number;
  readonly count: number;
  /** They are sampled first, all at a time. */
  readonly sampled?: boolean;
  /** A frozen copy evaluates them as well. */
  readonly reference?: boolean;
}

const lora = { rank: 16, alpha: 32 };
/** Vocabulary of Qwen3 on a small network. */
const wide = { ...models.M, vocab_size: 151936, hidden_size: 256, num_hidden_layers: 4, tie_word_embeddings: true };
/** 61 million parameters. */
const large = { ...models.M, hidden_size: 768, intermediate_size: 2304, head_dim: 96 };

const cases = {
  full: { config: models.M, time: 512, count: 8 },
  "computed-again": { config: models.M, recompute: "always", time: 512, count: 8 },
  "large-full": { config: large, time: 256, count: 8 },
  "large-adapters": { config: large, lora, time: 256, count: 8 },
  "wide-vocabulary": { config: wide, time: 256, count: 8 },
  reference: { config: large, recompute: "always", time: 128, count: 16, reference: true },
  sampling: { config: large, lora, recompute: "always", time: 128, count: 64, sampled: true },
} as const satisfies Readonly<Record<string, MemoryCase>>;
type Case = keyof typeof cases;
const isCase = (name: string): name is Case => Object.hasOwn(cases, name);

const ALLOWED_SHARE = 0.15;

const loss = (_: unknown, { logprobs }: TokenLogprobs) => ({
  loss: 0,
  logprobGradient: new Float32Array(logprobs.length).fill(-1e-3),
});

/** One step in this process; its peak goes to standard output in bytes. */
async function measure(name: Case): Promise<void> {
  const { config, lora: adapters, recompute = "never", time, count, sampled, reference }: MemoryCase = cases[name];
  const model = await loadModel(
    { config: { ...config, max_position_embeddings: time }, seed: 1 },
    { recompute, threads: 2, ...(adapters ? { lora: adapters } : {}) },
  );
  const frozen = reference ? await model.freeze() : undefined;
  let sequences = Array.from({ length: count }, (_, i) => ({
    prompt: [i + 1],
    response: Array.from({ length: time - 1 }, (_, t) => (i * 7919 + t * 104729) % config.vocab_size),
  }));
  if (sampled) {
    const request = { maxTokens: time - 1, temperature: 1, stopTokens: [], count: 1 };
    const requests = sequences.map(({ prompt }, seed) => ({ ...request, prompt, seed }));
    sequences = [];
    for await (const { requestIndex, tokens } of model.sample(requests))
      sequences.push({ prompt: [requestIndex + 1], response: [...tokens] });
  }
  await frozen?.logprobs(sequences);
  await model.forwardBackward(sequences, loss);
  await model.optimizerStep({
    ...{ learningRate: 1e-4, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0, maxGradNorm: 1 },
  });
  const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  process.stdout.write(`${Number(peak) * 1024}\n`);
  await model.close();
}

function estimate(name: Case): number {
  const {
    config: shape,
    lora: adapters,
    recompute = "never",
    time,
    count,
    sampled,
    reference,
  }: MemoryCase = cases[name];
  const config = parseModelConfig(shape, name);
  const demand = { config, lora: adapters && loraConfig(adapters), threads: 2, reference };
  const training = estimateTrainingMemory({ ...demand, longest: time });
  const limits = { auto: defaultMemoryBytes(), always: 0, never: Number.POSITIVE_INFINITY };
  const { constants, slots, prefill } = estimateGenerationMemory({ config, sequences: count, longest: time });
  return peakBytes(training, limits[recompute]) + (sampled ? constants + slots + prefill : 0);
}

function main(): void {
  const words = process.argv.slice(2);
  const named = words.filter(isCase);
  console.log("case             measured MB   estimated MB   off by");
  for (const name of named.length > 0 ? named : (Object.keys(cases) as Case[])) {
    const script = fileURLToPath(import.meta.url);
    const { status, stdout } = spawnSync(process.execPath, [script, "--measure", name], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit"],
    });
    if (status !== 0) throw new Error(`${name} ended with ${status}`);
    const [measured, estimated] = [Number(stdout), estimate(name)];
    const off = estimated / measured - 1;
    const cells = [measured, estimated].map((bytes) => (bytes / 1e6).toFixed(0));
    console.log(
      `${name.padEnd(16)} ${cells[0]!.padStart(11)} ${cells[1]!.padStart(14)} ${(100 * off).toFixed(0).padStart(6)} %`,
    );
    if (Math.abs(off) > ALLOWED_SHARE) process.exitCode = 1;
  }
}

if (process.argv[2] === "--measure") await measure(process.argv[3] as Case);
else main();
