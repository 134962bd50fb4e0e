import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { relativeError } from "./graph/vjp-check.js";
import { loadModel } from "./language-model.js";
import { smallQwen3 } from "./small-model.js";
import type { LanguageModel, TokenLoss, TokenSequence } from "./types.js";
import { SafetensorsFile } from "./weights/index.js";

const fixtures = join(import.meta.dirname, "../fixtures");
const names = readdirSync(fixtures).filter((name) => existsSync(join(fixtures, name, "reference.json")));

interface Evaluation {
  readonly temperature: number;
  readonly sequences: readonly { readonly logprobs: readonly number[]; readonly entropies: readonly number[] }[];
  readonly loss: number;
  readonly gradientFile: string;
  readonly gradNorm: number;
}

interface Reference {
  readonly sequences: readonly TokenSequence[];
  readonly coefficients: readonly { readonly logprob: readonly number[]; readonly entropy: readonly number[] }[];
  readonly evaluations: readonly Evaluation[];
  readonly adamW?: {
    readonly learningRate: number;
    readonly beta1: number;
    readonly beta2: number;
    readonly epsilon: number;
    readonly weightDecay: number;
    readonly maxGradNorm: number;
    readonly steps: number;
    readonly losses: readonly number[];
    readonly gradNorms: readonly number[];
    readonly parameterFile: string;
  };
}

const readReference = (name: string): Reference =>
  JSON.parse(readFileSync(join(fixtures, name, "reference.json"), "utf8")) as Reference;

/** L = Σ_t (c_t · logprob_t + e_t · entropy_t): the scalar the fixtures differentiate. */
function fixtureLoss(reference: Reference): TokenLoss<TokenSequence> {
  return (sequence, { logprobs, entropies }) => {
    const { logprob, entropy } = reference.coefficients[reference.sequences.indexOf(sequence)]!;
    const loss = logprob.reduce((sum, c, t) => sum + c * logprobs[t]! + entropy[t]! * entropies[t]!, 0);
    return { loss, logprobGradient: Float32Array.from(logprob), entropyGradient: Float32Array.from(entropy) };
  };
}

const maxDifference = (actual: ArrayLike<number>, expected: ArrayLike<number>) =>
  Math.max(...Array.from(expected, (value, i) => Math.abs(actual[i]! - value)));

const open: LanguageModel[] = [];
const load = async (name: string) => {
  const model = await loadModel({ directory: join(fixtures, name) });
  open.push(model);
  return model;
};
afterAll(() => Promise.all(open.map((model) => model.close())));

async function readTensors(path: string, model: LanguageModel): Promise<Map<string, Float32Array>> {
  const file = await SafetensorsFile.open(path);
  const tensors = new Map<string, Float32Array>();
  for (const [name, { shape, data }] of model.parameters()) {
    const target = new Float32Array(data.length);
    await file.read(name, shape, target);
    tensors.set(name, target);
  }
  await file.close();
  return tensors;
}

describe.each(names)("%s agrees with transformers", (name) => {
  const reference = readReference(name);

  test("log-probabilities, entropies and every gradient, at every temperature", async () => {
    const model = await load(name);
    for (const { temperature, sequences, loss, gradientFile, gradNorm } of reference.evaluations) {
      const evaluated = await model.logprobs(reference.sequences, { temperature });
      const result = await model.forwardBackward(reference.sequences, fixtureLoss(reference), { temperature });
      for (const [index, { logprobs, entropies }] of sequences.entries()) {
        const count = reference.sequences[index]!.response.length;
        for (const current of [evaluated[index]!, result.sequences[index]!.current]) {
          expect(maxDifference(current.logprobs, logprobs.slice(-count))).toBeLessThan(2e-5);
          expect(maxDifference(current.entropies, entropies.slice(-count))).toBeLessThan(2e-5);
        }
      }
      expect(result.loss).toBeCloseTo(loss, 3);
      const expected = await readTensors(join(fixtures, name, gradientFile), model);
      for (const [parameter, gradient] of expected)
        expect(relativeError(model.parameters().get(parameter)!.gradient, gradient), parameter).toBeLessThan(2e-5);
      // A learning rate of zero only reports the norm and clears the gradient.
      const step = await model.optimizerStep({ ...still, learningRate: 0 });
      expect(step.gradNorm / gradNorm).toBeCloseTo(1, 5);
    }
  });
});

const still = { learningRate: 1e-3, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0, maxGradNorm: 0 };

test.each(names.filter((name) => readReference(name).adamW))("AdamW on %s follows torch", async (name) => {
  const reference = readReference(name);
  const { steps, losses, gradNorms, parameterFile, ...options } = reference.adamW!;
  const model = await load(name);
  for (let step = 0; step < steps; step++) {
    const { loss } = await model.forwardBackward(reference.sequences, fixtureLoss(reference));
    const { gradNorm, skipped } = await model.optimizerStep(options);
    expect(skipped).toBe(false);
    expect(Math.abs(loss - losses[step]!)).toBeLessThan(1e-3);
    expect(gradNorm / gradNorms[step]!).toBeCloseTo(1, 4);
  }
  for (const [parameter, expected] of await readTensors(join(fixtures, name, parameterFile), model))
    expect(maxDifference(model.parameters().get(parameter)!.data, expected), parameter).toBeLessThan(2e-5);
});

/** For what the fixtures do not cover. */
const config = smallQwen3;
const fresh = async (seed = 7) => {
  const model = await loadModel({ config, seed });
  open.push(model);
  return model;
};

const sequences: TokenSequence[] = Array.from({ length: 12 }, (_, i) => ({
  prompt: Array.from({ length: 1 + ((i * 5) % 7) }, (_, t) => (i * 11 + t * 3) % 40),
  response: Array.from({ length: 1 + ((i * 3) % 8) }, (_, t) => (i * 7 + t * 13) % 40),
}));

/** Nonlinear, different for every sequence, with an entropy term for some. */
const someLoss: TokenLoss<TokenSequence> = (sequence, { logprobs, entropies }) => {
  const weight = 1 / sequence.response.length;
  const withEntropy = sequence.response.length % 2 === 0;
  const loss = logprobs.reduce((sum, l) => sum + weight * Math.exp(0.1 * l), 0);
  return {
    loss: withEntropy ? loss - 0.01 * entropies.reduce((sum, h) => sum + h, 0) : loss,
    logprobGradient: logprobs.map((l) => weight * 0.1 * Math.exp(0.1 * l)),
    ...(withEntropy ? { entropyGradient: new Float32Array(logprobs.length).fill(-0.01) } : {}),
  };
};

const gradientsOf = (model: LanguageModel) =>
  new Map([...model.parameters()].map(([name, { gradient }]) => [name, gradient.slice()]));

describe("gradients", () => {
  test("do not depend on the split into micro-batches, on the order or on the number of calls", async () => {
    const model = await fresh();
    const whole = await model.forwardBackward(sequences, someLoss, { microBatchTokens: 100_000 });
    const expected = gradientsOf(model);
    const variants: (() => Promise<unknown>)[] = [
      () => model.forwardBackward(sequences, someLoss, { microBatchTokens: 1 }),
      () => model.forwardBackward(sequences, someLoss, { microBatchTokens: 30 }),
      () => model.forwardBackward([...sequences].reverse(), someLoss, { microBatchTokens: 30 }),
      async () => {
        for (const sequence of sequences) await model.forwardBackward([sequence], someLoss);
      },
    ];
    for (const variant of variants) {
      for (const { gradient } of model.parameters().values()) gradient.fill(0);
      await variant();
      for (const [name, gradient] of gradientsOf(model))
        expect(relativeError(gradient, expected.get(name)!), name).toBeLessThan(1e-5);
    }
    expect(whole.sequences.map(({ sequence }) => sequence)).toEqual(sequences);
    expect(whole.paddingTokens).toBeGreaterThan(0);
    expect(whole.paddingTokens).toBeLessThan(0.05 * whole.tokens);
    expect(whole.computedTokens).toBe(whole.tokens + whole.paddingTokens);
  });

  test("are the same bits every time", async () => {
    const [first, second] = [await fresh(), await fresh()];
    for (const model of [first, second]) {
      await model.forwardBackward(sequences, someLoss, { microBatchTokens: 30 });
      await model.optimizerStep(still);
      await model.forwardBackward(sequences, someLoss, { microBatchTokens: 30 });
    }
    expect(gradientsOf(first)).toEqual(gradientsOf(second));
  });

  test("agree with finite differences of the loss", async () => {
    const model = await fresh();
    const lossNow = async () => {
      const results = await model.logprobs(sequences);
      return results.reduce((sum, current, i) => sum + someLoss(sequences[i]!, current).loss, 0);
    };
    await model.forwardBackward(sequences, someLoss);
    for (const { data, gradient } of model.parameters().values()) {
      // The largest entry of each tensor: float32 noise hides the small ones.
      const index = gradient.reduce((best, value, i) => (Math.abs(value) > Math.abs(gradient[best]!) ? i : best), 0);
      const value = data[index]!;
      const losses: number[] = [];
      for (const shift of [1e-2, -1e-2]) {
        data[index] = value + shift;
        losses.push(await lossNow());
      }
      data[index] = value;
      const numeric = (losses[0]! - losses[1]!) / 2e-2;
      expect(Math.abs(numeric - gradient[index]!)).toBeLessThan(0.02 * Math.abs(gradient[index]!) + 2e-4);
    }
  });

  test("an empty response contributes nothing", async () => {
    const model = await fresh();
    const result = await model.forwardBackward([{ prompt: [1], response: [] }], someLoss);
    expect(result.sequences[0]!.current.logprobs).toHaveLength(0);
    expect((await model.optimizerStep(still)).gradNorm).toBe(0);
  });

  test("that are not finite skip the step, change nothing and are dropped", async () => {
    const model = await fresh();
    const before = [...model.parameters().values()].map(({ data }) => data.slice());
    const broken: TokenLoss<TokenSequence> = (sequence) => ({
      loss: 0,
      logprobGradient: new Float32Array(sequence.response.length).fill(Number.NaN),
    });
    await model.forwardBackward(sequences, broken);
    expect(await model.optimizerStep(still)).toMatchObject({ skipped: true });
    expect([...model.parameters().values()].map(({ data }) => data)).toEqual(before);
    expect((await model.optimizerStep(still)).gradNorm).toBe(0);
  });

  test("are dropped when the loss fails or the call is aborted", async () => {
    const model = await fresh();
    await model.forwardBackward(sequences, someLoss);
    const failing: TokenLoss<TokenSequence> = () => {
      throw new Error("the loss failed");
    };
    await expect(model.forwardBackward(sequences, failing)).rejects.toThrow("the loss failed");
    expect((await model.optimizerStep(still)).gradNorm).toBe(0);

    const controller = new AbortController();
    const aborting = model.forwardBackward(sequences, someLoss, { signal: controller.signal, microBatchTokens: 10 });
    controller.abort();
    await expect(aborting).rejects.toMatchObject({ name: "AbortError" });
    expect((await model.optimizerStep(still)).gradNorm).toBe(0);
  });
});

describe("calls", () => {
  test("run in the order they were made", async () => {
    const model = await fresh();
    const before = model.logprobs(sequences);
    const training = model.forwardBackward(sequences, someLoss);
    const step = model.optimizerStep({ ...still, learningRate: 0.1 });
    const after = model.logprobs(sequences);
    await Promise.all([training, step]);
    expect((await before)[0]!.logprobs).toEqual((await training).sequences[0]!.current.logprobs);
    expect((await after)[0]!.logprobs).not.toEqual((await before)[0]!.logprobs);
  });

  test.each<[string, (model: LanguageModel) => Promise<unknown>, RegExp]>([
    ["empty prompt", (model) => model.logprobs([{ prompt: [], response: [1] }]), /sequences\[0\]\.prompt is empty/],
    ["foreign token", (model) => model.logprobs([{ prompt: [1, 40], response: [] }]), /prompt\[1\] is 40.*0 to 39/],
    [
      "too long",
      (model) => model.logprobs([{ prompt: new Array(60).fill(1), response: [1, 2, 3, 4, 5] }]),
      /60 prompt and 5 response tokens; the context holds 64/,
    ],
    ["temperature 0", (model) => model.logprobs([], { temperature: 0 }), /temperature is 0/],
    ["learning rate", (model) => model.optimizerStep({ ...still, learningRate: Number.NaN }), /learningRate is NaN/],
    [
      "gradient of another length",
      (model) => model.forwardBackward(sequences, () => ({ loss: 0, logprobGradient: new Float32Array(99) })),
      /sequence \d+ returned 99 values in logprobGradient/,
    ],
  ])("refuse: %s", async (_, call, message) => {
    await expect(call(await fresh())).rejects.toThrow(message);
  });

  test("after close are refused", async () => {
    const model = await fresh();
    await model.close();
    await expect(model.logprobs(sequences)).rejects.toThrow("closed");
  });
});

describe("samples", () => {
  const request = { prompt: [1, 2, 3], count: 6, maxTokens: 8, temperature: 0.8, stopTokens: [5], seed: 11 };

  test("carry the log-probabilities that training computes, so that the first ratio is 1", async () => {
    const model = await fresh();
    const samples = [];
    for await (const sample of model.sample([request])) samples.push(sample);
    expect(samples).toHaveLength(6);
    const again = await model.logprobs(
      samples.map(({ tokens }) => ({ prompt: request.prompt, response: tokens })),
      { temperature: request.temperature },
    );
    for (const [index, { logprobs }] of samples.entries())
      expect(maxDifference(again[index]!.logprobs, logprobs)).toBeLessThan(1e-4);
  });

  test("wait for their turn, and leaving the loop lets the next call in", async () => {
    const model = await fresh();
    const first = model.logprobs(sequences);
    for await (const sample of model.sample([request])) {
      expect(sample.requestIndex).toBe(0);
      break;
    }
    await first;
    await model.optimizerStep(still);
  });
});

describe("state", () => {
  const directory = mkdtempSync(join(tmpdir(), "training-state-"));
  afterAll(() => rmSync(directory, { recursive: true }));
  const train = async (model: LanguageModel, steps: number) => {
    for (let step = 0; step < steps; step++) {
      await model.forwardBackward(sequences, someLoss);
      await model.optimizerStep({ ...still, weightDecay: 0.1, maxGradNorm: 1 });
    }
  };
  const weightsOf = (model: LanguageModel) => [...model.parameters().values()].map(({ data }) => data);

  test("continues bit for bit in another process's model", async () => {
    const model = await fresh();
    await train(model, 2);
    await model.saveState(directory);
    await train(model, 2);
    const resumed = await fresh(8);
    await resumed.loadState(directory);
    await train(resumed, 2);
    expect(weightsOf(resumed)).toEqual(weightsOf(model));
  });

  test("of another model or a torn file is refused and leaves the weights alone", async () => {
    const model = await load(names[0]!);
    const before = weightsOf(model).map((data) => data.slice());
    await expect(model.loadState(directory)).rejects.toThrow(/belongs to another model/);
    truncateSync(join(directory, "training-state.safetensors"), 1000);
    await expect(model.loadState(directory)).rejects.toThrow(/training-state\.safetensors/);
    expect(weightsOf(model)).toEqual(before);
  });

  test("a frozen copy keeps its weights while the model trains", async () => {
    const model = await fresh();
    const reference = await model.freeze();
    const before = await model.logprobs(sequences);
    await train(model, 1);
    expect(await reference.logprobs(sequences)).toEqual(before);
    await reference.close();
  });
});
