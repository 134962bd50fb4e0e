import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test, vi } from "vitest";
import { Generator } from "../generation/index.js";
import { relativeError } from "../graph/vjp-check.js";
import { loadModel } from "../language-model.js";
import { useSoftwareAdapter } from "../runtime/software-adapter.js";
import { AdamW, createAdamWState, Trainer } from "../training/index.js";
import type { LanguageModel, SampledSequence, SampleRequest, TokenLoss, TokenSequence } from "../types.js";
import {
  freshAdapter,
  initializeParameters,
  type LoadedModel,
  type LoraAdapter,
  type LoraConfig,
  type ModelConfig,
  parseModelConfig,
} from "../weights/index.js";
import { DeviceModel } from "./device-model.js";

// Shaders are compiled on a CPU that may be busy.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

const missing = useSoftwareAdapter();
const title = "a model on WebGPU (SwiftShader) beside the same on the CPU";

const qwen3 = { architectures: ["Qwen3ForCausalLM"], model_type: "qwen3", tie_word_embeddings: true };
const shapes: Readonly<Record<string, { readonly json: object; readonly lora?: LoraConfig }>> = {
  "Qwen3, tied, grouped heads": { json: qwen3 },
  "the same with adapters": { json: qwen3, lora: { rank: 3, alpha: 6, targets: ["q_proj", "v_proj", "down_proj"] } },
  "Qwen2, biases, heads of their own": {
    json: {
      architectures: ["Qwen2ForCausalLM"],
      model_type: "qwen2",
      tie_word_embeddings: false,
      num_key_value_heads: 4,
      hidden_size: 64,
      head_dim: 16,
    },
  },
};

function fresh({ json: differences, lora }: (typeof shapes)[string]): LoadedModel {
  const json = {
    vocab_size: 61,
    hidden_size: 32,
    intermediate_size: 48,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 8,
    max_position_embeddings: 64,
    rms_norm_eps: 1e-6,
    rope_theta: 10000,
    hidden_act: "silu",
    initializer_range: 0.2,
    eos_token_id: 0,
    ...differences,
  };
  const config = parseModelConfig(json, "config");
  const parameters = initializeParameters(config, 7);
  return { config, parameters, generationConfig: undefined, eosTokenIds: [0], adapter: lora && grown(config, lora) };
}

/** An adapter that has been trained: B is not zero any more. */
function grown(config: ModelConfig, lora: LoraConfig): LoraAdapter {
  const adapter = freshAdapter(config, lora, 5);
  for (const { name, data } of adapter.parameters.parameters.values())
    if (name.endsWith(".lora_B.weight")) for (let i = 0; i < data.length; i++) data[i] = 0.1 * Math.sin(i + 1);
  return adapter;
}

const sequences: TokenSequence[] = [
  { prompt: [3, 14, 15], response: [9, 26, 5, 35] },
  { prompt: [3, 14, 15], response: [9, 26, 5, 36] },
  { prompt: [8], response: [9, 7, 9, 3, 2, 38, 4] },
  { prompt: [46, 26, 43], response: [] },
];

const loss: TokenLoss<TokenSequence> = ({ response }, { logprobs, entropies }) => ({
  loss: response.reduce((sum, _, i) => sum - logprobs[i]! * (i + 1) - 0.3 * entropies[i]!, 0),
  logprobGradient: Float32Array.from(response, (_, i) => -(i + 1)),
  entropyGradient: new Float32Array(response.length).fill(-0.3),
});

async function collect(samples: AsyncIterable<SampledSequence>): Promise<SampledSequence[]> {
  const all: SampledSequence[] = [];
  for await (const sample of samples) all.push(sample);
  return all.sort((a, b) => a.requestIndex - b.requestIndex || a.sampleIndex - b.sampleIndex);
}

const adamW = { learningRate: 1e-2, beta1: 0.9, beta2: 0.95, epsilon: 1e-3, weightDecay: 0.1, maxGradNorm: 1 };

const tinyConfig = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: 16,
  hidden_size: 16,
  intermediate_size: 32,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 8,
  max_position_embeddings: 32,
  rms_norm_eps: 1e-6,
  rope_theta: 10000,
  hidden_act: "silu",
  initializer_range: 0.2,
  tie_word_embeddings: true,
  eos_token_id: 0,
};
const copyAdamW = { learningRate: 2e-2, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0, maxGradNorm: 1 };

/** Copy a token three times. */
const tasks: TokenSequence[] = [3, 5, 7, 11].map((token) => ({ prompt: [1, token], response: [token, token, token] }));
const crossEntropy: TokenLoss<TokenSequence> = ({ response }, { logprobs }) => ({
  loss: -logprobs.reduce((sum, logprob) => sum + logprob, 0),
  logprobGradient: new Float32Array(response.length).fill(-1),
});

describe.skipIf(missing !== undefined)(missing === undefined ? title : `${title}: ${missing}`, () => {
  // Shaders take seconds to compile on a CPU: the last shape is left to conformance/webgpu.
  const compared = Object.entries(shapes).slice(0, process.env.WEBGPU_CONFORMANCE ? undefined : 2);

  describe.each(compared)("%s", async (_, shape) => {
    const host = fresh(shape);
    const { adapter } = host;
    const trained = adapter?.parameters ?? host.parameters;
    const trainer = new Trainer(host.config, host.parameters, { threads: 1, adapter });
    const device = missing === undefined ? await DeviceModel.open("webgpu", fresh(shape), 64) : undefined!;
    afterAll(async () => {
      trainer.close();
      await device.close();
    });

    test("log-probabilities and entropies are equal", async () => {
      const [expected, actual] = await Promise.all([
        trainer.logprobs(sequences, { temperature: 0.8 }),
        device.trainer.logprobs(sequences, { temperature: 0.8 }),
      ]);
      for (const [index, { logprobs, entropies }] of actual.entries()) {
        expect(relativeError(logprobs, expected[index]!.logprobs)).toBeLessThan(1e-5);
        expect(relativeError(entropies, expected[index]!.entropies)).toBeLessThan(1e-5);
      }
    });

    test("greedy continuations are the same tokens, drawn ones too, with log-probabilities that agree", async () => {
      const requests: SampleRequest[] = [
        { prompt: [3, 14, 15, 9], count: 2, maxTokens: 6, temperature: 0, stopTokens: [], seed: 1 },
        { prompt: [26, 5], count: 3, maxTokens: 9, temperature: 1.3, topK: 20, stopTokens: [7], seed: 2 },
      ];
      const generator = new Generator(host.config, host.parameters, { threads: 1, adapter });
      const expected = await collect(generator.generate(requests));
      const actual = await collect(device.generator.generate(requests));
      generator.close();
      expect(actual.map(({ tokens, stopReason }) => [tokens, stopReason])).toEqual(
        expected.map(({ tokens, stopReason }) => [tokens, stopReason]),
      );
      for (const [index, { logprobs }] of actual.entries())
        expect(relativeError(logprobs, expected[index]!.logprobs)).toBeLessThan(1e-4);
    });

    test("gradients add up over micro-batches and passes, and optimizer steps change the weights alike", async () => {
      const optimizer = new AdamW(trained, createAdamWState(trained), 1);
      for (let step = 0; step < 2; step++) {
        const results = [];
        for (const microBatchTokens of [100, 6]) {
          const expected = await trainer.forwardBackward(sequences, loss, { microBatchTokens });
          const actual = await device.trainer.forwardBackward(sequences, loss, { microBatchTokens });
          results.push([actual.loss, expected.loss] as const);
        }
        for (const [actual, expected] of results) expect(Math.abs(actual / expected - 1)).toBeLessThan(1e-5);
        if (step === 0)
          for (const { name, gradient } of trained.parameters.values())
            expect(relativeError(await device.trained.downloadGradient(name), gradient), name).toBeLessThan(2e-5);
        const expected = await optimizer.step(adamW);
        const actual = await device.optimizer.step(adamW);
        expect(Math.abs(actual.gradNorm / expected.gradNorm - 1)).toBeLessThan(1e-4);
      }
      optimizer.close();
      const state = await device.downloadState();
      expect(state.step).toBe(2);
      expect(relativeError(device.trained.store.data, trained.data)).toBeLessThan(1e-5);
    });
  });

  describe("loadModel with device: webgpu", async () => {
    const source = { config: tinyConfig, seed: 3 };
    const model = missing === undefined ? await loadModel(source, { device: "webgpu" }) : undefined!;
    const directory = mkdtempSync(join(tmpdir(), "engine-device-"));
    afterAll(() => rmSync(directory, { recursive: true, force: true }));

    async function step(model: LanguageModel): Promise<number> {
      const { loss } = await model.forwardBackward(tasks, crossEntropy);
      const { skipped } = await model.optimizerStep(copyAdamW);
      expect(skipped).toBe(false);
      return loss;
    }

    test("learns to copy, keeps a frozen reference, and its state goes on elsewhere: on the device or on the CPU", async () => {
      expect(model.info).toMatchObject({ device: "webgpu", contextLength: 32, lora: null });
      const frozen = await model.freeze();
      const before = await model.logprobs(tasks);

      const first = await step(model);
      for (let i = 0; i < 20; i++) await step(model);
      await model.saveState(directory);
      await model.exportModel(join(directory, "model"));
      const last = await step(model);
      expect(last).toBeLessThan(first / 10);
      expect(await frozen.logprobs(tasks)).toEqual(before);
      const request = { prompt: [1, 7], count: 1, maxTokens: 3, temperature: 0, stopTokens: [], seed: 1 };
      for await (const { tokens } of model.sample([request])) expect(tokens).toEqual([7, 7, 7]);
      const rounded = model.sample([request], { precision: "int8" })[Symbol.asyncIterator]().next();
      await expect(rounded).rejects.toThrow('Sampling in int8 runs on the CPU only, not on the device "webgpu"');
      const after = await model.logprobs(tasks);
      await frozen.close();

      await model.loadState(directory);
      expect(await step(model)).toBe(last);
      expect(await model.logprobs(tasks)).toEqual(after);

      for (const place of [source, { directory: join(directory, "model") }]) {
        const onHost = await loadModel(place);
        if (place === source) await onHost.loadState(directory);
        const { loss } = await onHost.forwardBackward(tasks, crossEntropy);
        expect(Math.abs(loss - last)).toBeLessThan(1e-4);
        await onHost.close();
      }
    });

    test("adapters are trained alone, and exported for the CPU: as they are or merged", async () => {
      const base = join(directory, "model");
      const adapted = await loadModel({ directory: base }, { device: "webgpu", lora: { rank: 2, alpha: 4 } });
      expect(adapted.info).toMatchObject({ device: "webgpu", lora: { rank: 2 } });
      await step(adapted);
      await step(adapted);
      const expected = await adapted.logprobs(tasks);
      const places = { adapter: join(directory, "adapter"), merged: join(directory, "merged") };
      await adapted.exportAdapter(places.adapter);
      await adapted.exportModel(places.merged);
      await adapted.close();
      for (const place of Object.values(places)) {
        const onHost = await loadModel({ directory: place });
        // They are near 0 by now: what counts is the difference.
        for (const [index, { logprobs }] of (await onHost.logprobs(tasks)).entries())
          for (const [i, logprob] of logprobs.entries())
            expect(Math.abs(logprob - expected[index]!.logprobs[i]!)).toBeLessThan(1e-5);
        await onHost.close();
      }
    });

    test("what fails or is aborted leaves no gradient behind", async () => {
      await model.forwardBackward(tasks, crossEntropy);
      await expect(model.forwardBackward(tasks, crossEntropy, { signal: AbortSignal.abort() })).rejects.toMatchObject({
        name: "AbortError",
      });
      expect(await model.optimizerStep(copyAdamW)).toEqual({ gradNorm: 0, skipped: false });
      const wrong = () => model.forwardBackward(tasks, () => ({ loss: 0, logprobGradient: new Float32Array(9) }));
      await expect(wrong()).rejects.toThrow("9 values in logprobGradient");
      expect(() => model.parameters()).toThrow("saveState");
      const [expected] = await model.logprobs(tasks.slice(0, 1));
      expect(relativeError((await model.logprobs(tasks))[0]!.logprobs, expected!.logprobs)).toBeLessThan(1e-5);
      await model.close();
      await expect(model.logprobs(tasks)).rejects.toThrow("closed");
    });
  });
});

test("a device that is not there is an error before anything is loaded", async () => {
  const source = { directory: "/does/not/exist" };
  await expect(loadModel(source, { device: "cuda" })).rejects.toThrow('The device "cuda" cannot be used');
});
