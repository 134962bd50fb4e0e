import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { smallQwen3 } from "../small-model.js";
import type { SampledSequence, SampleRequest } from "../types.js";
import { freshAdapter, initializeParameters, loraConfig, parseModelConfig } from "../weights/index.js";
import { GenerationModel } from "./generation-model.js";
import { Generator } from "./generator.js";
import { KeyValueCache } from "./key-value-cache.js";
import { prefillJobs, runPrefill } from "./prefill.js";
import { PromptQueue } from "./prompt-queue.js";
import { prepareRequest } from "./sequence.js";
import { findSharedPrefixes } from "./shared-prefix.js";

const tokens = (count: number, seed: number) =>
  Array.from({ length: count }, (_, i) => (i * 7 + seed * 13 + i * i) % 60);

describe("what prompts have in common", () => {
  const lengths = (prompts: readonly (readonly number[])[]) =>
    findSharedPrefixes(prompts).map((prefix) => prefix?.tokens.length);

  test("is found group by group, though all begin with the same template", () => {
    const template = tokens(20, 1);
    const prompt = (question: number, answer: number) => [
      ...template,
      ...tokens(80, 100 + question),
      // Answers begin differently.
      answer,
      ...tokens(50, answer),
    ];
    const prompts = [0, 1].flatMap((question) => [1, 2, 3, 4].map((answer) => prompt(question, answer)));
    expect(lengths(prompts)).toEqual(new Array(8).fill(100));
    expect(new Set(findSharedPrefixes(prompts)).size).toBe(2);
  });

  test("is not worth a run of its own if it is short", () => {
    expect(lengths([1, 2, 3].map((seed) => [...tokens(10, 0), seed, ...tokens(50, seed)]))).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  test("leaves every prompt a token to go on from, and saves more than it costs", () => {
    const prompt = fc.array(fc.nat(1), { minLength: 1, maxLength: 200 });
    const repeated = fc.tuple(prompt, fc.array(prompt, { maxLength: 6 }));
    fc.assert(
      fc.property(fc.array(repeated, { maxLength: 4 }), (groups) => {
        const prompts = groups.flatMap(([start, rests]) => rests.map((rest) => [...start, ...rest]));
        const prefixes = findSharedPrefixes(prompts);
        for (const [index, prefix] of prefixes.entries()) {
          if (prefix === undefined) continue;
          const { length } = prefix.tokens;
          expect(prompts[index]!.slice(0, length)).toEqual(prefix.tokens);
          expect(length).toBeLessThan(prompts[index]!.length);
          expect(prefixes.filter((each) => each === prefix)).toHaveLength(prefix.waiting);
          expect((prefix.waiting - 1) * length).toBeGreaterThan(24 * (prefix.waiting + 1));
        }
      }),
    );
  });
});

test("a prefix runs once: prompts go on from its keys and values, whose memory goes with the last of them", async () => {
  const config = parseModelConfig(smallQwen3);
  const model = new GenerationModel(config, initializeParameters(config, 3), { threads: 1, precision: "float32" });
  model.refresh(1);
  const start = Array.from({ length: 45 }, (_, i) => i % 40);
  const requests = [1, 2, 3, 4].map(
    (last): SampleRequest => ({
      ...{ prompt: [...start, last], count: 1, maxTokens: 1, temperature: 1, stopTokens: [], seed: last },
    }),
  );
  const prompts = new PromptQueue(requests.map(prepareRequest)).take(4).map(({ waiting }) => waiting);
  const jobs = prefillJobs(prompts);
  expect(jobs.map(({ length }) => length)).toEqual([1, 1, 1, 1]);
  const prefix = prompts[0]!.prefix!;
  const { signal } = new AbortController();
  const [first] = await runPrefill(model, jobs[0]!, signal);
  const cache = await prefix.cache;
  expect(prefix).toMatchObject({ waiting: 3, tokens: start });
  // Had the others run whole, this would change nothing.
  const empty = new KeyValueCache(config, 1, start.length + 1);
  cache!.copyFrom(empty, 0, 0, start.length);
  const [second] = await runPrefill(model, [{ ...prompts[0]! }], signal);
  expect(second!.logits).not.toEqual(first!.logits);
  for (const job of jobs.slice(2)) await runPrefill(model, job, signal);
  expect(prefix).toMatchObject({ waiting: 0, cache: undefined });
  model.close();
});

describe.each([
  ["a head of 16", { head_dim: 16 }],
  ["heads that are rotated outside of attention and filled up", { head_dim: 12 }],
  ["constant weights", { head_dim: 16, hidden_size: 256, intermediate_size: 1024, num_hidden_layers: 2 }],
  ["adapters", { head_dim: 16 }],
])("prompts that begin alike, %s", (name, sizes) => {
  const config = parseModelConfig({
    architectures: ["Qwen3ForCausalLM"],
    vocab_size: 60,
    hidden_size: 32,
    intermediate_size: 48,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    max_position_embeddings: 400,
    initializer_range: 0.2,
    ...sizes,
  });

  const collect = async (generator: Generator, requests: readonly SampleRequest[]): Promise<SampledSequence[]> => {
    const all: SampledSequence[] = [];
    for await (const sequence of generator.generate(requests)) all.push(sequence);
    return all.sort((a, b) => a.requestIndex - b.requestIndex || a.sampleIndex - b.sampleIndex);
  };

  test("give the same tokens and logprobs, bit for bit, as each alone", async () => {
    const start = tokens(130, 5);
    const requests = Array.from(
      { length: 12 },
      (_, i): SampleRequest => ({
        prompt: [...start, i, ...tokens(1 + 9 * (i % 4), i)],
        count: i % 3 === 0 ? 3 : 1,
        maxTokens: 1 + i,
        temperature: 1,
        stopTokens: [7],
        seed: i,
      }),
    );
    expect(findSharedPrefixes(requests.map(({ prompt }) => prompt)).map((prefix) => prefix?.tokens.length)).toEqual(
      new Array(12).fill(130),
    );
    const parameters = initializeParameters(config, 3);
    const adapter = name === "adapters" ? freshAdapter(config, loraConfig({ rank: 2, alpha: 4 }), 5) : undefined;
    for (const i of adapter?.parameters.data.keys() ?? []) adapter!.parameters.data[i] = Math.sin(i) / 10;
    const generator = new Generator(config, parameters, { adapter, threads: 2 });
    const together = await collect(generator, requests);
    for (const [index, request] of requests.entries()) {
      const alone = await collect(generator, [request]);
      const same = together.filter(({ requestIndex }) => requestIndex === index);
      expect(same.map(({ tokens, logprobs }) => [tokens, logprobs])).toEqual(
        alone.map(({ tokens, logprobs }) => [tokens, logprobs]),
      );
    }
    // Also with fewer slots than continuations.
    const few = new Generator(config, parameters, {
      adapter,
      threads: 2,
      cacheBytes: 4 * 200 * config.layerCount * 2048,
    });
    expect(await collect(few, requests)).toEqual(together);
    few.close();
    generator.close();
  });
});
