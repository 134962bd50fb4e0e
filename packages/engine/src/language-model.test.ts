import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { relativeError } from "./graph/vjp-check.js";
import { loadModel } from "./language-model.js";
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
