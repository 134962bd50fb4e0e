import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { loadModel } from "./language-model.js";
import type { LanguageModel, LoadOptions, TokenLoss, TokenSequence } from "./types.js";
import { loadCheckpoint } from "./weights/index.js";

/** Small models run with weights as feeds of generation; those of 2 million parameters have them as constants. */
const sizes = {
  feeds: { hidden_size: 32, intermediate_size: 48, vocab_size: 40 },
  constants: { hidden_size: 192, intermediate_size: 1152, vocab_size: 600 },
};
const shape = {
  architectures: ["Qwen3ForCausalLM"],
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 16,
  max_position_embeddings: 64,
  initializer_range: 0.1,
};
const lora = { rank: 3, alpha: 6, seed: 5 };

const directory = mkdtempSync(join(tmpdir(), "frozen-weights-"));
const open: LanguageModel[] = [];
afterAll(async () => {
  await Promise.all(open.map((model) => model.close()));
  rmSync(directory, { recursive: true });
});
const load = async (source: Parameters<typeof loadModel>[0], options?: LoadOptions) => {
  const model = await loadModel(source, options);
  open.push(model);
  return model;
};

async function checkpoint(name: string, more: object, dtype: "float32" | "bfloat16" | "float16"): Promise<string> {
  const path = join(directory, name);
  const model = await load({ config: { ...shape, ...more }, seed: 3 });
  await model.exportModel(path, { dtype });
  return path;
}

const sequences: TokenSequence[] = Array.from({ length: 5 }, (_, i) => ({
  prompt: Array.from({ length: 1 + ((i * 5) % 7) }, (_, t) => (i * 11 + t * 3) % 40),
  response: Array.from({ length: 2 + ((i * 3) % 8) }, (_, t) => (i * 7 + t * 13) % 40),
}));
const adamW = { learningRate: 1e-2, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.01, maxGradNorm: 1 };

const loss: TokenLoss<TokenSequence> = (_, { logprobs }) => ({
  loss: -logprobs.reduce((sum, l) => sum + l, 0),
  logprobGradient: new Float32Array(logprobs.length).fill(-1),
});

/** Two steps of training, then log-probabilities and samples: everything that the weights have a part in. */
async function outcome(model: LanguageModel) {
  for (let step = 0; step < 2; step++) {
    await model.forwardBackward(sequences, loss);
    await model.optimizerStep(adamW);
  }
  const adapters = [...model.parameters()].filter(([name]) => name.includes("lora_"));
  const samples = [];
  for await (const { tokens, logprobs } of model.sample([
    { prompt: [1, 2, 3], count: 4, maxTokens: 8, temperature: 1, stopTokens: [], seed: 11 },
  ]))
    samples.push({ tokens, logprobs });
  return {
    adapters: adapters.map(([name, { data }]) => [name, data.slice()]),
    logprobs: await model.logprobs(sequences),
    samples,
  };
}

describe.each(["bfloat16", "float16"] as const)("a %s checkpoint that is kept as it is stored", (dtype) => {
  test.each([
    ["feeds", true],
    ["feeds", false],
    ["constants", true],
  ] as const)("gives the same bits as float32 weights (%s of generation, tied: %s)", async (size, tied) => {
    const name = `${dtype}-${size}-${tied}`;
    const path = await checkpoint(name, { ...sizes[size], tie_word_embeddings: tied }, dtype);
    const stored = await load({ directory: path }, { lora, frozenWeights: "stored" });
    const widened = await load({ directory: path }, { lora });
    expect(await outcome(stored)).toEqual(await outcome(widened));
    const merged = [stored, widened].map((_, i) => join(directory, `merged-${name}-${i}`));
    await stored.exportModel(merged[0]!);
    await widened.exportModel(merged[1]!);
    const [a, b] = [await loadCheckpoint(merged[0]!), await loadCheckpoint(merged[1]!)];
    expect(Buffer.from(a.parameters.data.buffer).equals(Buffer.from(b.parameters.data.buffer))).toBe(true);
  });

  test("takes half of the memory, save for the head, norms and biases", async () => {
    const path = await checkpoint(`${dtype}-memory`, { ...sizes.feeds, tie_word_embeddings: false }, dtype);
    const { parameters } = await loadCheckpoint(path, { gradients: false, keepHalves: true });
    for (const { name, kind, type, data, halves, shape: sizesOf } of parameters.parameters.values()) {
      const half = kind === "matrix" && name !== "lm_head.weight";
      expect(type, name).toBe(half ? dtype : "float32");
      expect([data.length, halves.length], name).toContain(sizesOf.reduce((a, b) => a * b, 1));
      expect([data.length, halves.length], name).toContain(0);
    }
  });
});

test("a frozen model is sampled and scored, and trained by adapters that are opened beside it alone", async () => {
  const path = await checkpoint("frozen", { ...sizes.feeds, tie_word_embeddings: true }, "bfloat16");
  const frozen = await load({ directory: path }, { frozen: true, frozenWeights: "stored" });
  const plain = await load({ directory: path });
  expect(await frozen.logprobs(sequences)).toEqual(await plain.logprobs(sequences));
  for (const { gradient } of frozen.parameters().values()) expect(gradient.length).toBe(0);
  await expect(frozen.forwardBackward(sequences, loss)).rejects.toThrow("The weights are frozen: open an adapter");
  await expect(frozen.optimizerStep(adamW)).rejects.toThrow("frozen");
  const beside = await frozen.openAdapter(lora);
  open.push(beside);
  const alone = await load({ directory: path }, { lora });
  for (const model of [beside, alone]) {
    await model.forwardBackward(sequences, loss);
    await model.optimizerStep(adamW);
  }
  expect(await beside.logprobs(sequences)).toEqual(await alone.logprobs(sequences));
});

test("float32 tensors stay float32", async () => {
  const path = await checkpoint("float32", { ...sizes.feeds, tie_word_embeddings: true }, "float32");
  const { parameters } = await loadCheckpoint(path, { gradients: false, keepHalves: true });
  expect(parameters.halves.length).toBe(0);
});

test("weights that are trained, or that no file holds, are refused", async () => {
  const path = await checkpoint("refused", { ...sizes.feeds, tie_word_embeddings: true }, "bfloat16");
  const frozenWeights = "stored";
  await expect(load({ directory: path }, { frozenWeights })).rejects.toThrow(
    /all weights are trained.*set lora or frozen/,
  );
  await expect(load({ config: { ...shape, ...sizes.feeds }, seed: 1 }, { lora, frozenWeights })).rejects.toThrow(
    /a fresh model comes from no file/,
  );
  await expect(load({ directory: path }, { frozen: true, device: "webgpu" })).rejects.toThrow(/`frozen`.*CPU only/);
  await expect(load({ directory: path }, { lora, frozenWeights, device: "webgpu" })).rejects.toThrow(
    /the device "webgpu" computes with float32 weights/,
  );
});
