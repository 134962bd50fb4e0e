import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { SampledSequence, SampleRequest } from "../types.js";
import {
  initializeParameters,
  loadCheckpoint,
  type ModelConfig,
  type ParameterStore,
  parseModelConfig,
} from "../weights/index.js";
import { Generator, type GeneratorOptions } from "./generator.js";
import { cacheBytes } from "./key-value-cache.js";

const fixtures = fileURLToPath(new URL("../../fixtures/", import.meta.url));

interface Reference {
  readonly greedy: readonly { prompt: number[]; maxTokens: number; tokens: number[]; logprobs: number[] }[];
}

const request = (changes: Partial<SampleRequest> = {}): SampleRequest => ({
  prompt: [3, 4, 5],
  count: 1,
  maxTokens: 8,
  temperature: 1,
  stopTokens: [],
  seed: 1,
  ...changes,
});

async function collect(sequences: AsyncIterable<SampledSequence>): Promise<SampledSequence[]> {
  const all: SampledSequence[] = [];
  for await (const sequence of sequences) all.push(sequence);
  return all.sort((a, b) => a.requestIndex - b.requestIndex || a.sampleIndex - b.sampleIndex);
}

describe.each([
  "llama-tied-linear",
  "llama-llama3-sharded",
  "llama-llama3-f16",
  "qwen2-bias",
  "qwen2-tied-bf16",
  "qwen3-tied",
  "qwen3-bf16-sharded",
])("%s", (name) => {
  test("greedy tokens and logprobs are those of transformers, also with prompts in one batch", async () => {
    const directory = join(fixtures, name);
    const { config, parameters } = await loadCheckpoint(directory, { gradients: false });
    const { greedy } = JSON.parse(readFileSync(join(directory, "reference.json"), "utf8")) as Reference;
    const generator = new Generator(config, parameters);
    const results = await collect(
      generator.generate(greedy.map(({ prompt, maxTokens }) => request({ prompt, maxTokens, temperature: 0 }))),
    );
    for (const [index, { tokens, logprobs }] of greedy.entries()) {
      expect(results[index]!.tokens).toEqual(tokens);
      for (const [position, logprob] of logprobs.entries()) {
        expect(Math.abs(results[index]!.logprobs[position]! - logprob)).toBeLessThan(1e-4);
      }
    }
    generator.close();
  });
});

describe("one model", () => {
  let config: ModelConfig;
  let parameters: ParameterStore;
  const open: Generator[] = [];
  const newGenerator = (options: GeneratorOptions = {}) => {
    const generator = new Generator(config, parameters, options);
    open.push(generator);
    return generator;
  };
  beforeAll(async () => {
    ({ config, parameters } = await loadCheckpoint(join(fixtures, "qwen3-tied"), { gradients: false }));
  });
  afterAll(() => {
    for (const generator of open) generator.close();
  });

  /** Requests of every kind: lengths, counts, temperatures, truncations. */
  const mixed = (): SampleRequest[] =>
    Array.from({ length: 14 }, (_, index) =>
      request({
        prompt: Array.from({ length: 1 + (index % 7) }, (__, position) => (5 * index + 3 * position) % 40),
        count: 1 + (index % 5),
        maxTokens: 1 + 2 * index,
        temperature: [1, 0.7, 0, 1.3][index % 4]!,
        topK: index % 3 === 0 ? 5 : 0,
        topP: index % 4 === 1 ? 0.9 : 1,
        stopTokens: [7, 11, index],
        seed: 1000 + index,
      }),
    );

  test("a request gives the same bits alone, among others, in any order, with one or many slots and cores", async () => {
    const requests = mixed();
    const together = await collect(newGenerator({ threads: 2 }).generate(requests));
    expect(together.length).toBe(requests.reduce((sum, { count }) => sum + count, 0));
    const bitsOf = (sequences: SampledSequence[], index: number) =>
      sequences
        .filter(({ requestIndex }) => requestIndex === index)
        .map(({ sampleIndex, tokens, logprobs, stopReason }) => ({ sampleIndex, tokens, logprobs, stopReason }));

    const single = newGenerator({ threads: 1 });
    for (const [index, alone] of requests.entries()) {
      expect(bitsOf(await collect(single.generate([alone])), 0)).toEqual(bitsOf(together, index));
    }
    const reversed = await collect(newGenerator({ threads: 2 }).generate([...requests].reverse()));
    const fewSlots = await collect(
      newGenerator({ threads: 1, cacheBytes: 3 * cacheBytes(config, 64) }).generate(requests),
    );
    for (const index of requests.keys()) {
      expect(bitsOf(reversed, requests.length - 1 - index)).toEqual(bitsOf(together, index));
      expect(bitsOf(fewSlots, index)).toEqual(bitsOf(together, index));
    }
  });

  test("and one continuation, prefilled in its place, the same as the first of several, which are copied", async () => {
    const generator = newGenerator({ threads: 1 });
    const prompts = Array.from({ length: 12 }, (_, index) =>
      [...Array(1 + ((index * 5) % 7)).keys()].map((t) => t + index),
    );
    const stopTokens = [...Array(20).keys()];
    const draw = (count: number) =>
      collect(
        generator.generate(prompts.map((prompt, seed) => request({ prompt, count, maxTokens: 8, stopTokens, seed }))),
      );
    const single = await draw(1);
    // Some end with their first token, and others take their slots.
    expect(new Set(single.map(({ tokens }) => tokens.length > 1)).size).toBe(2);
    expect(single).toEqual((await draw(3)).filter(({ sampleIndex }) => sampleIndex === 0));
  });

  test("so it does with constant weights, where few sequences share all cores and many have one each", async () => {
    const large = parseModelConfig({
      ...config.original,
      ...{ vocab_size: 512, hidden_size: 256, intermediate_size: 512, num_hidden_layers: 3 },
      ...{ num_attention_heads: 4, num_key_value_heads: 2, head_dim: 64, tie_word_embeddings: false },
    });
    const weights = initializeParameters(large, 1);
    expect(weights.parameterCount).toBeGreaterThan(2_000_000);
    const generator = new Generator(large, weights, { threads: 2 });
    open.push(generator);
    const requests = Array.from({ length: 20 }, (_, index) =>
      request({ prompt: [...Array(1 + index).keys()], maxTokens: 6 + index, seed: index }),
    );
    const together = await collect(generator.generate(requests));
    for (const [start, count] of [
      [0, 1],
      [1, 1],
      [2, 3],
      [5, 15],
    ] as const) {
      const part = await collect(generator.generate(requests.slice(start, start + count)));
      for (const sequence of part) {
        const requestIndex = start + sequence.requestIndex;
        expect({ ...sequence, requestIndex }).toEqual(together[requestIndex]);
      }
    }
  });

  test("so it does at the edges of attention's blocks", async () => {
    const long = parseModelConfig({ ...config.original, head_dim: 8, max_position_embeddings: 256 });
    const generator = new Generator(long, initializeParameters(long, 1));
    open.push(generator);
    const requests = [16, 17, 18, 33, 64, 65, 130].map((length) =>
      request({ prompt: Array.from({ length }, (_, position) => (position * position) % 40), maxTokens: 3 }),
    );
    const together = await collect(generator.generate(requests));
    for (const [index, alone] of requests.entries()) {
      const [sequence] = await collect(generator.generate([alone]));
      expect({ ...sequence, requestIndex: index }).toEqual(together[index]);
    }
  });

  test("seeds and sample indices give different continuations; the same seed the same", async () => {
    const generator = newGenerator();
    const tokens = async (changes: Partial<SampleRequest>) =>
      (await collect(generator.generate([request({ maxTokens: 20, ...changes })]))).map((sequence) =>
        sequence.tokens.join(),
      );
    const [first, second] = await tokens({ count: 2 });
    expect(first).not.toBe(second);
    expect(await tokens({})).toEqual([first]);
    expect(await tokens({ seed: 2 })).not.toEqual([first]);
  });

  test("a sequence ends after a stop token, which it keeps, or at maxTokens", async () => {
    const stops = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
    const sequences = await collect(
      newGenerator().generate([request({ count: 40, maxTokens: 12, stopTokens: stops, temperature: 1.5 })]),
    );
    expect(new Set(sequences.map(({ stopReason }) => stopReason))).toEqual(new Set(["stop", "length"]));
    for (const { tokens, logprobs, stopReason } of sequences) {
      expect(logprobs.length).toBe(tokens.length);
      expect(tokens.slice(0, -1).some((token) => stops.includes(token))).toBe(false);
      expect(stops.includes(tokens.at(-1)!)).toBe(stopReason === "stop");
      if (stopReason === "length") expect(tokens.length).toBe(12);
    }
  });

  test("logprobs are of the untruncated distribution at the sampling temperature", async () => {
    const generator = newGenerator();
    // What a token's logprob must be is read off a large sample of first tokens without truncation.
    const logprobOf = new Map<number, number>();
    const first = { maxTokens: 1, temperature: 0.8 };
    for (const { tokens, logprobs } of await collect(generator.generate([request({ ...first, count: 600 })]))) {
      logprobOf.set(tokens[0]!, logprobs[0]!);
    }
    const total = [...logprobOf.values()].reduce((sum, logprob) => sum + Math.exp(logprob), 0);
    expect(total).toBeGreaterThan(0.9);
    expect(total).toBeLessThan(1 + 1e-5);
    const truncated = await collect(generator.generate([request({ ...first, count: 50, topK: 3, seed: 9 })]));
    expect(new Set(truncated.map(({ tokens }) => tokens[0]))).toSatisfy((set: Set<number>) => set.size <= 3);
    for (const { tokens, logprobs } of truncated) expect(logprobs[0]).toBe(logprobOf.get(tokens[0]!));
  });

  test("new weights count at once", async () => {
    const copy = parameters.copyWeights();
    const generator = new Generator(config, copy);
    open.push(generator);
    const greedy = request({ temperature: 0, maxTokens: 6 });
    const before = await collect(generator.generate([greedy]));
    copy.get("model.norm.weight").data.fill(-1);
    const after = await collect(generator.generate([greedy]));
    expect(after[0]!.tokens).not.toEqual(before[0]!.tokens);
    copy.get("model.norm.weight").data.fill(Number.NaN);
    await expect(collect(generator.generate([greedy]))).rejects.toThrow("logits are not finite");
    copy.data.set(parameters.data);
    expect(await collect(generator.generate([greedy]))).toEqual(before);
  });

  test.each([
    ["in lanes", 2],
    ["with every product divided among threads", 5],
  ])("a model that is large enough for constant weights keeps all of this, %s", async (_, threads) => {
    const wide = parseModelConfig({ ...config.original, vocab_size: 32768, tie_word_embeddings: false });
    const store = initializeParameters(wide, 3);
    expect(store.parameterCount).toBeGreaterThan(2_000_000);
    const generator = new Generator(wide, store, { threads });
    open.push(generator);
    const requests = [request({ maxTokens: 3, count: 17 }), request({ maxTokens: 3, prompt: [9], seed: 2 })];
    const together = await collect(generator.generate(requests));
    const [alone] = await collect(generator.generate([requests[1]!]));
    expect(together.at(-1)).toEqual({ ...alone!, requestIndex: 1 });
    store.get("lm_head.weight").data.reverse();
    const [changed] = await collect(generator.generate([requests[1]!]));
    expect(changed!.tokens).not.toEqual(alone!.tokens);
    store.get("lm_head.weight").data.reverse();
    expect(await collect(generator.generate([requests[1]!]))).toEqual([alone]);
  });

  test("sequences come as they finish, not all at the end", async () => {
    const order: number[] = [];
    const requests = [request({ maxTokens: 40 }), request({ maxTokens: 2 })];
    for await (const { requestIndex } of newGenerator({ threads: 1 }).generate(requests)) order.push(requestIndex);
    expect(order).toEqual([1, 0]);
  });

  test("leaving the loop or aborting stops the work, and the generator can be used again", async () => {
    const generator = newGenerator();
    const long = request({ count: 64, maxTokens: 50, stopTokens: [1] });
    for await (const _ of generator.generate([long])) break;
    const controller = new AbortController();
    const aborted = collect(generator.generate([long], { signal: controller.signal }));
    setTimeout(() => controller.abort(), 3);
    await expect(aborted).rejects.toMatchObject({ name: "AbortError" });
    await expect(collect(generator.generate([long], { signal: AbortSignal.abort() }))).rejects.toMatchObject({
      name: "AbortError",
    });
    expect((await collect(generator.generate([request()]))).length).toBe(1);
    expect(await collect(generator.generate([]))).toEqual([]);
  });

  test("the event loop keeps turning", async () => {
    let longest = 0;
    let last = performance.now();
    const timer = setInterval(() => {
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
    }, 1);
    await collect(
      newGenerator({ threads: 1 }).generate([request({ maxTokens: 50 }), request({ maxTokens: 50, seed: 2 })]),
    );
    clearInterval(timer);
    // Generous: the machine may be busy. Without any yielding this would be the whole generation.
    expect(longest).toBeLessThan(1000);
  });

  test("one call at a time, none after close", async () => {
    const generator = new Generator(config, parameters);
    const first = generator.generate([request()]);
    const pending = first.next();
    await expect(generator.generate([request()]).next()).rejects.toThrow("already generating");
    expect(() => generator.close()).toThrow("is generating");
    await pending;
    await first.return();
    generator.close();
    await expect(generator.generate([request()]).next()).rejects.toThrow("closed");
  });

  test.each([
    [{ prompt: [] }, "Request 1: the prompt is empty"],
    [{ prompt: [1, 48] }, "Request 1: prompt token 1 is 48; token ids are 0 to 47"],
    [{ prompt: [0.5] }, "Request 1: prompt token 0 is 0.5"],
    [{ count: 0 }, "Request 1: count is 0; it must be a whole number of at least 1"],
    [{ maxTokens: 0 }, "Request 1: maxTokens is 0"],
    [{ temperature: -1 }, "Request 1: temperature is -1; it must be 0 (greedy) or above"],
    [{ temperature: Number.NaN }, "Request 1: temperature is NaN"],
    [{ temperature: 1e-9 }, "is too close to 0; use 0 for greedy"],
    [{ topP: 0 }, "Request 1: topP is 0; it must be above 0 and at most 1"],
    [{ topK: -1 }, "Request 1: topK is -1"],
    [{ stopTokens: [99] }, "Request 1: stop token 99 is not a token id"],
    [{ seed: -1 }, "Request 1: The seed must be a whole number"],
    [
      { maxTokens: 62 },
      "Request 1: a prompt of 3 tokens and 62 new tokens do not fit into the context of 64; shorten the prompt or",
    ],
  ] as [Partial<SampleRequest>, string][])("refused before work starts: %j", (changes, message) => {
    expect(() => newGenerator().generate([request(), request(changes)])).toThrow(message);
  });
});
