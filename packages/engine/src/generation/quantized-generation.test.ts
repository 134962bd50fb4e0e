import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { SampledSequence, SampleRequest } from "../types.js";
import {
  freshAdapter,
  initializeParameters,
  loadCheckpoint,
  loraConfig,
  type ModelConfig,
  type ParameterStore,
  parseModelConfig,
} from "../weights/index.js";
import { Generator, type GeneratorOptions } from "./generator.js";

const fixtures = fileURLToPath(new URL("../../fixtures/", import.meta.url));
const int8 = { precision: "int8" } as const;

const request = (changes: Partial<SampleRequest> = {}): SampleRequest => ({
  ...{ prompt: [3, 4, 5], count: 1, maxTokens: 8, temperature: 1, stopTokens: [], seed: 1 },
  ...changes,
});

async function collect(sequences: AsyncIterable<SampledSequence>): Promise<SampledSequence[]> {
  const all: SampledSequence[] = [];
  for await (const sequence of sequences) all.push(sequence);
  return all.sort((a, b) => a.requestIndex - b.requestIndex || a.sampleIndex - b.sampleIndex);
}

const open: Generator[] = [];
const newGenerator = (config: ModelConfig, parameters: ParameterStore, options: GeneratorOptions = {}) => {
  const generator = new Generator(config, parameters, options);
  open.push(generator);
  return generator;
};
afterAll(() => {
  for (const generator of open) generator.close();
});

describe.each(["llama-tied-linear", "qwen2-bias", "qwen3-tied", "qwen3-bf16-sharded"])("%s", (name) => {
  let config: ModelConfig;
  let parameters: ParameterStore;
  beforeAll(async () => {
    ({ config, parameters } = await loadCheckpoint(fixtures + name, { gradients: false }));
  });

  test("the distribution of the next token is near that of float32, is another one, and sums to 1", async () => {
    const generator = newGenerator(config, parameters);
    const firstTokens = async (precision: "float32" | "int8") => {
      const requests = [request({ count: 800, maxTokens: 1, temperature: 0.8 })];
      const drawn = await collect(generator.generate(requests, { precision }));
      return new Map(drawn.map(({ tokens, logprobs }) => [tokens[0]!, logprobs[0]!]));
    };
    const exact = await firstTokens("float32");
    const rounded = await firstTokens("int8");
    const total = [...rounded.values()].reduce((sum, logprob) => sum + Math.exp(logprob), 0);
    expect(total).toBeGreaterThan(0.9);
    expect(total).toBeLessThan(1 + 1e-5);
    const both = [...rounded].filter(([token]) => exact.has(token));
    expect(both.length).toBeGreaterThan(4);
    const differences = both.map(([token, logprob]) => Math.abs(logprob - exact.get(token)!));
    expect(Math.max(...differences)).toBeLessThan(0.3);
    expect(Math.max(...differences)).toBeGreaterThan(1e-5);
  });

  test("a call in float32 is not changed by one in int8 before it", async () => {
    const generator = newGenerator(config, parameters);
    const before = await collect(generator.generate([request()]));
    await collect(generator.generate([request()], int8));
    expect(await collect(generator.generate([request()]))).toEqual(before);
  });
});

test("a request gives the same bits alone, among others, in any order, on one core and on several", async () => {
  const { config, parameters } = await loadCheckpoint(`${fixtures}qwen3-tied`, { gradients: false });
  const requests = Array.from({ length: 20 }, (_, index) =>
    request({ prompt: [...Array(1 + index).keys()], count: 1 + (index % 3), maxTokens: 6 + index, seed: index }),
  );
  const generator = newGenerator(config, parameters, { threads: 2 });
  const together = await collect(generator.generate(requests, int8));
  const reversed = await collect(
    newGenerator(config, parameters, { threads: 1 }).generate([...requests].reverse(), int8),
  );
  for (const [index, alone] of requests.entries()) {
    const expected = together.filter(({ requestIndex }) => requestIndex === index);
    const asFirst = (sequence: SampledSequence) => ({ ...sequence, requestIndex: index });
    expect((await collect(generator.generate([alone], int8))).map(asFirst)).toEqual(expected);
    const last = requests.length - 1 - index;
    expect(reversed.filter(({ requestIndex }) => requestIndex === last).map(asFirst)).toEqual(expected);
  }
});

test("new weights count at once; diverged ones are an error, not tokens", async () => {
  const { config, parameters } = await loadCheckpoint(`${fixtures}qwen3-tied`, { gradients: false });
  const copy = parameters.copyWeights();
  const generator = newGenerator(config, copy);
  const greedy = request({ temperature: 0, maxTokens: 6 });
  const before = await collect(generator.generate([greedy], int8));
  const matrix = copy.get("model.layers.0.mlp.down_proj.weight").data;
  matrix.reverse();
  const changed = await collect(generator.generate([greedy], int8));
  expect(changed[0]!.logprobs).not.toEqual(before[0]!.logprobs);
  matrix[5] = Number.NaN;
  await expect(collect(generator.generate([greedy], int8))).rejects.toThrow("logits are not finite");
  copy.data.set(parameters.data);
  expect(await collect(generator.generate([greedy], int8))).toEqual(before);
});

test("adapters beside int8 weights: a fresh one changes no bit, a trained one is followed without new weights", async () => {
  const { config, parameters } = await loadCheckpoint(`${fixtures}qwen3-tied`, { gradients: false });
  const adapter = freshAdapter(config, loraConfig({ rank: 2, alpha: 4 }), 1);
  const generator = newGenerator(config, parameters, { adapter });
  const plain = await collect(newGenerator(config, parameters).generate([request({ count: 3 })], int8));
  expect(await collect(generator.generate([request({ count: 3 })], int8))).toEqual(plain);

  for (const { name, data } of adapter.parameters.parameters.values())
    if (name.endsWith("lora_B.weight")) for (let i = 0; i < data.length; i++) data[i] = 0.1 * Math.cos(i);
  const first = request({ count: 200, maxTokens: 1 });
  const logprobsBy = (sequences: SampledSequence[]) =>
    new Map(sequences.map(({ tokens, logprobs }) => [tokens[0]!, logprobs[0]!]));
  const [exact, rounded, without] = [
    logprobsBy(await collect(generator.generate([first]))),
    logprobsBy(await collect(generator.generate([first], int8))),
    logprobsBy(await collect(newGenerator(config, parameters).generate([first]))),
  ];
  const distance = (a: Map<number, number>, b: Map<number, number>) =>
    Math.max(...[...a].filter(([token]) => b.has(token)).map(([token, logprob]) => Math.abs(logprob - b.get(token)!)));
  expect(distance(rounded, exact)).toBeLessThan(distance(without, exact) / 2);
});

test("a sequence of matrices wider than a block of the quantisation stays near float32", async () => {
  const { config } = await loadCheckpoint(`${fixtures}qwen3-tied`, { gradients: false });
  const wide = parseModelConfig({ ...config.original, intermediate_size: 136, vocab_size: 200 });
  const parameters = initializeParameters(wide, 7, { gradients: false });
  const generator = newGenerator(wide, parameters);
  const [exact] = await collect(generator.generate([request({ temperature: 0, maxTokens: 1 })]));
  const [rounded] = await collect(generator.generate([request({ temperature: 0, maxTokens: 1 })], int8));
  expect(rounded!.logprobs[0]).toBeCloseTo(exact!.logprobs[0]!, 1);
});

test("weights that are kept in the 16 bits of their file are rounded to the same int8", async () => {
  const directory = `${fixtures}qwen3-bf16-sharded`;
  const results = [];
  for (const keepHalves of [false, true]) {
    const { config, parameters } = await loadCheckpoint(directory, { gradients: false, keepHalves });
    results.push(await collect(newGenerator(config, parameters).generate([request()], int8)));
  }
  expect(results[1]).toEqual(results[0]);
});
