import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { relativeError } from "./graph/vjp-check.js";
import { loadModel } from "./language-model.js";
import type { LanguageModel, LoadOptions, TokenLoss, TokenSequence } from "./types.js";
import { SafetensorsFile, writeSafetensors } from "./weights/index.js";

/** With biases, QK-norm's absence and grouped heads; wide enough for ranks to matter. */
const config = {
  architectures: ["Qwen2ForCausalLM"],
  vocab_size: 40,
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 64,
};
const lora = { rank: 3, alpha: 6, seed: 5 };
const scale = lora.alpha / lora.rank;

const sequences: TokenSequence[] = Array.from({ length: 7 }, (_, i) => ({
  prompt: Array.from({ length: 1 + ((i * 5) % 7) }, (_, t) => (i * 11 + t * 3) % 40),
  response: Array.from({ length: 1 + ((i * 3) % 8) }, (_, t) => (i * 7 + t * 13) % 40),
}));

const loss =
  (entropyCoefficient: number): TokenLoss<TokenSequence> =>
  (_, { logprobs, entropies }) => ({
    loss:
      logprobs.reduce((sum, l) => sum + Math.exp(0.1 * l), 0) -
      entropyCoefficient * entropies.reduce((a, b) => a + b, 0),
    logprobGradient: logprobs.map((l) => 0.1 * Math.exp(0.1 * l)),
    ...(entropyCoefficient > 0
      ? { entropyGradient: new Float32Array(entropies.length).fill(-entropyCoefficient) }
      : {}),
  });

const adamW = { learningRate: 1e-2, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.01, maxGradNorm: 1 };

const directory = mkdtempSync(join(tmpdir(), "lora-"));
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
const fresh = (options: LoadOptions = { lora }, seed = 7) => load({ config, seed }, options);

async function train(model: LanguageModel, steps: number): Promise<LanguageModel> {
  for (let step = 0; step < steps; step++) {
    await model.forwardBackward(sequences, loss(0.01));
    await model.optimizerStep(adamW);
  }
  return model;
}

const adapters = (model: LanguageModel) => [...model.parameters()].filter(([name]) => name.includes("lora_"));
const weights = (model: LanguageModel) => [...model.parameters()].filter(([name]) => !name.includes("lora_"));
const logprobsOf = async (model: Pick<LanguageModel, "logprobs">) =>
  Float32Array.from((await model.logprobs(sequences)).flatMap(({ logprobs }) => [...logprobs]));

describe("a fresh adapter", () => {
  test("changes nothing, and the same seed gives the same one", async () => {
    const [plain, adapted, again, other] = [
      await fresh({}),
      await fresh(),
      await fresh(),
      await fresh({ lora: { ...lora, seed: 6 } }),
    ];
    expect(await logprobsOf(adapted)).toEqual(await logprobsOf(plain));
    expect(adapters(again)).toEqual(adapters(adapted));
    expect(adapters(other)).not.toEqual(adapters(adapted));
    for (const [name, { data, shape }] of adapters(adapted))
      expect(Math.max(...data.map(Math.abs)), name).toBeLessThanOrEqual(
        name.includes("lora_A") ? 1 / Math.sqrt(shape[1]!) : 0,
      );
  });

  test("leaves the weights without gradients and the optimizer without state for them", async () => {
    const model = await fresh();
    const count = adapters(model).reduce((sum, [, { data }]) => sum + data.length, 0);
    expect(model.info.trainedParameterCount).toBe(count);
    for (const [name, { gradient }] of weights(model)) expect(gradient.length, name).toBe(0);
    const before = weights(model).map(([, { data }]) => data.slice());
    await train(model, 2);
    expect(weights(model).map(([, { data }]) => data)).toEqual(before);
  });

  test("is on the matrices that were named", async () => {
    const model = await fresh({ lora: { ...lora, targets: ["v_proj", "q_proj"] } });
    expect(model.info.lora).toEqual({ rank: 3, alpha: 6, targets: ["q_proj", "v_proj"] });
    const layers = new Set(adapters(model).map(([name]) => name.replace(/.*\.(\w+)\.lora_[AB]\.weight/, "$1")));
    expect([...layers]).toEqual(["q_proj", "v_proj"]);
    await expect(fresh({ lora: { ...lora, targets: ["lm_head"] } })).rejects.toThrow(
      /lora\.targets is \[lm_head\].*q_proj/,
    );
    await expect(fresh({ lora: { ...lora, rank: 0 } })).rejects.toThrow(/lora\.rank is 0/);
  });
});

/**
 * The chain rule over W' = W + s B A ties adapters to the full gradient of the merged model, which is checked against
 * PyTorch: dA = s Bᵀ dW', dB = s dW' Aᵀ.
 */
test.each([0, 0.02])(
  "gradients are those of the merged model's weights (entropy coefficient %d)",
  async (coefficient) => {
    const model = await train(await fresh(), 3);
    const path = join(directory, `merged-${coefficient}`);
    await model.exportModel(path);
    const merged = await load({ directory: path });
    // Twice: whether the last loss had an entropy term decides how the head goes about the next.
    for (let pass = 0; pass < 2; pass++) {
      const expected = await merged.forwardBackward(sequences, loss(coefficient));
      const actual = await model.forwardBackward(sequences, loss(coefficient));
      expect(actual.loss).toBeCloseTo(expected.loss, 4);
      for (const [name, { gradient }] of adapters(model)) {
        const module = name.replace(/\.lora_[AB]\.weight$/, "");
        const { shape, gradient: full } = merged.parameters().get(`${module}.weight`)!;
        const other = model.parameters().get(`${module}.lora_${name.includes("lora_A") ? "B" : "A"}.weight`)!.data;
        expect(relativeError(gradient, chainRule(full, shape, other, name.includes("lora_A"))), name).toBeLessThan(
          2e-5,
        );
      }
      for (const each of [model, merged]) await each.optimizerStep({ ...adamW, learningRate: 0 });
    }
  },
);

function chainRule(full: Float32Array, shape: readonly number[], other: Float32Array, forA: boolean): Float32Array {
  const [rows, columns] = shape as readonly [number, number];
  const { rank } = lora;
  const result = new Float32Array(forA ? rank * columns : rows * rank);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      for (let k = 0; k < rank; k++) {
        const value = scale * full[row * columns + column]!;
        if (forA) result[k * columns + column]! += value * other[row * rank + k]!;
        else result[row * rank + k]! += value * other[k * columns + column]!;
      }
  return result;
}

describe("a trained adapter", () => {
  test("draws samples whose log-probabilities are the trainer's, and those of the merged model", async () => {
    const model = await train(await fresh(), 3);
    const request = { prompt: [1, 2, 3], count: 6, maxTokens: 8, temperature: 0.8, stopTokens: [5], seed: 11 };
    const samples = [];
    for await (const sample of model.sample([request])) samples.push(sample);
    await model.exportModel(join(directory, "sampled"));
    const merged = await load({ directory: join(directory, "sampled") });
    for (const trainer of [model, merged]) {
      const again = await trainer.logprobs(
        samples.map(({ tokens }) => ({ prompt: request.prompt, response: tokens })),
        { temperature: 0.8 },
      );
      for (const [index, { logprobs }] of samples.entries())
        for (const [t, logprob] of logprobs.entries()) expect(again[index]!.logprobs[t]).toBeCloseTo(logprob, 4);
    }
  });

  test("continues bit for bit from a saved state, which holds the adapter alone", async () => {
    const model = await train(await fresh(), 2);
    const state = join(directory, "state");
    await model.saveState(state);
    const resumed = await fresh({ lora: { ...lora, seed: 99 } });
    await resumed.loadState(state);
    await train(model, 2);
    await train(resumed, 2);
    expect(adapters(resumed).map(([, { data }]) => data)).toEqual(adapters(model).map(([, { data }]) => data));
    await expect((await fresh({})).loadState(state)).rejects.toThrow(/belongs to another model/);
  });

  test("leaves its frozen reference where it was", async () => {
    const model = await fresh();
    for (let round = 0; round < 2; round++) {
      const before = await logprobsOf(model);
      const reference = await model.freeze();
      await train(model, 1);
      expect(await logprobsOf(reference)).toEqual(before);
      expect(await logprobsOf(model)).not.toEqual(before);
      await reference.close();
    }
  });

  test("is written and read as PEFT's directory, and trains on from there", async () => {
    const base = join(directory, "base");
    await (await fresh({})).exportModel(base);
    const model = await train(await load({ directory: base }, { lora }), 2);
    const path = join(directory, "adapter");
    await model.exportAdapter(path);
    const read = await load({ directory: path });
    expect(read.info.lora).toEqual(model.info.lora);
    expect(adapters(read).map(([name, { data }]) => [name, data])).toEqual(
      adapters(model).map(([name, { data }]) => [name, data]),
    );
    expect(await logprobsOf(read)).toEqual(await logprobsOf(model));
    await train(read, 1);
    await expect(load({ directory: path }, { lora: { ...lora, rank: 4 } })).rejects.toThrow(
      /has rank 3, .*rank 4.*were asked for/,
    );
  });
});

describe.each(["peft-qwen3-tied", "peft-qwen2-tied-bf16"])("what PEFT wrote (fixtures/%s)", (name) => {
  const path = join(import.meta.dirname, "../fixtures", name);
  const expected = JSON.parse(readFileSync(join(path, "expected.json"), "utf8")) as {
    readonly sequences: readonly TokenSequence[];
    readonly logprobs: readonly (readonly number[])[];
  };

  test.each<LoadOptions>([{ recompute: "never" }, { recompute: "always", frozenWeights: "stored" }])(
    "has PEFT's log-probabilities and gradients (%o)",
    async (options) => {
      const model = await load({ directory: path }, options);
      const { sequences: results } = await model.forwardBackward(expected.sequences, (_, { logprobs }) => ({
        loss: -logprobs.reduce((sum, l) => sum + l, 0),
        logprobGradient: new Float32Array(logprobs.length).fill(-1),
      }));
      for (const [i, { current }] of results.entries())
        expect(relativeError(current.logprobs, Float32Array.from(expected.logprobs[i]!)), `${i}`).toBeLessThan(1e-5);
      const file = await SafetensorsFile.open(join(path, "gradients.safetensors"));
      const found = adapters(model);
      expect(found.map(([tensor]) => tensor).sort()).toEqual([...file.header.tensors.keys()].sort());
      for (const [tensor, { shape, gradient }] of found) {
        const wanted = new Float32Array(gradient.length);
        await file.read(tensor, shape, wanted);
        expect(relativeError(gradient, wanted), tensor).toBeLessThan(1e-4);
      }
      await file.close();
    },
  );

  test("is the same after we have written it", async () => {
    const written = join(directory, `written-${name}`);
    await (await load({ directory: path })).exportAdapter(written);
    const bytes = await Promise.all(
      [path, written].map(async (each) => {
        const file = await SafetensorsFile.open(join(each, "adapter_model.safetensors"));
        const tensors = [...file.header.tensors.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
        const read = async (tensor: string, shape: readonly number[]) => {
          const target = new Float32Array(shape.reduce((a, b) => a * b, 1));
          await file.read(tensor, shape, target);
          return [tensor, target] as const;
        };
        const all = await Promise.all(tensors.map((tensor) => read(tensor.name, tensor.shape)));
        await file.close();
        return all;
      }),
    );
    expect(bytes[1]).toEqual(bytes[0]);
  });
});

test("an adapter that leaves out a layer names what is missing", async () => {
  const path = mkdtempSync(join(directory, "partial-"));
  const source = join(import.meta.dirname, "../fixtures/peft-qwen3-tied");
  const description = JSON.parse(readFileSync(join(source, "adapter_config.json"), "utf8")) as Record<string, unknown>;
  const base = join(source, "../qwen3-tied");
  writeFileSync(
    join(path, "adapter_config.json"),
    JSON.stringify({
      ...description,
      base_model_name_or_path: base,
      target_modules: ["model.layers.0.mlp.up_proj"],
    }),
  );
  const tensors = ["A", "B"].map((factor) => ({
    name: `base_model.model.model.layers.0.mlp.up_proj.lora_${factor}.weight`,
    shape: factor === "A" ? [4, 32] : [48, 4],
    data: new Float32Array(factor === "A" ? 128 : 192),
  }));
  await writeSafetensors(join(path, "adapter_model.safetensors"), tensors);
  await expect(loadModel({ directory: path })).rejects.toThrow(/layers\.1\.mlp\.up_proj\.lora_A\.weight" is missing/);
});

test.each<[string, Record<string, unknown>, RegExp]>([
  ["DoRA", { use_dora: true }, /adapter_config\.json: use_dora is true; supported: false/],
  ["trained biases", { bias: "all" }, /bias is "all"; supported: "none"/],
  ["ranks by layer", { rank_pattern: { q_proj: 8 } }, /rank_pattern/],
  ["a pattern of modules", { target_modules: ".*_proj" }, /target_modules.*list of module names/],
  ["an unknown module", { target_modules: ["c_attn"] }, /lora\.targets is \[c_attn\]/],
  [
    "a base model that is not here",
    { base_model_name_or_path: "Qwen/Qwen3-0.6B" },
    /must be the directory of the base model/,
  ],
  ["no base model", { base_model_name_or_path: null }, /base_model_name_or_path is missing/],
])("an adapter directory with %s is refused", async (name, change, message) => {
  const path = mkdtempSync(join(directory, "refused-"));
  const description = {
    ...{ peft_type: "LORA", r: 2, lora_alpha: 4, target_modules: ["q_proj"], base_model_name_or_path: "../base" },
    ...change,
  };
  writeFileSync(join(path, "adapter_config.json"), JSON.stringify(description));
  await expect(loadModel({ directory: path }), name).rejects.toThrow(message);
});
