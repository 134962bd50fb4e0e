import { expect, test } from "vitest";
import { relativeError } from "../graph/vjp-check.js";
import type { TokenLoss, TokenSequence } from "../types.js";
import { initializeParameters, parseModelConfig } from "../weights/index.js";
import { Trainer, type TrainerOptions } from "./trainer.js";

const config = parseModelConfig({
  architectures: ["LlamaForCausalLM"],
  vocab_size: 50,
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 3,
  num_attention_heads: 2,
});

const sequences: TokenSequence[] = [
  { prompt: [1, 2, 3], response: [4, 5, 6, 7, 8] },
  { prompt: [9], response: [10, 11, 12] },
];
const loss: TokenLoss<TokenSequence> = (_, { logprobs, entropies }) => ({
  loss: 0,
  logprobGradient: logprobs.map((l) => l * 0.1),
  entropyGradient: entropies.map((h) => h * 0.2),
});

test.each<[string, TrainerOptions]>([
  ["a vocabulary that does not fit one chunk", { headChunkElements: 150 }],
  ["attention by blocks of rows", { blockRows: 2 }],
  ["attention by single rows", { blockRows: 1 }],
  ["no layer's activations kept", { recompute: "always" }],
  ["the activations of some layers kept", { memoryBytes: 100e6 + 180_000 }],
  ["operations split over the cores instead of lanes", { threads: 8 }],
])("%s: the same gradients", async (_, variant) => {
  const [expected, actual] = [await evaluate({ threads: 2 }), await evaluate(variant)];
  expect(relativeError(actual.gradients, expected.gradients)).toBeLessThan(1e-6);
  for (const [index, { logprobs, entropies }] of expected.current.entries()) {
    expect(relativeError(actual.current[index]!.logprobs, logprobs)).toBeLessThan(1e-6);
    expect(relativeError(actual.current[index]!.entropies, entropies)).toBeLessThan(1e-6);
  }
});

test("identical sequences and shared inputs run once, each sequence with its own loss", async () => {
  const [long, short] = sequences as [TokenSequence, TokenSequence];
  const weights = new Map([
    [{ ...long }, 1],
    [{ ...short }, -2],
    [{ ...long }, 0.5],
    [{ ...long, prompt: [1, 2, 4] }, 3],
    [{ ...long }, -4],
    // The last token is predicted, never read: the same input as `long`, alone and with another prompt.
    [{ ...long, response: [4, 5, 6, 7, 9] }, 2],
    [{ prompt: [1, 2, 3, 4, 5], response: [6, 7, 8] }, -1],
    [{ ...long, response: [] }, 5],
  ]);
  const weighted: TokenLoss<TokenSequence> = (sequence, { logprobs, entropies }) => ({
    loss: weights.get(sequence)!,
    logprobGradient: logprobs.map((l) => l * weights.get(sequence)!),
    // Not every loss has an entropy term.
    ...(weights.get(sequence)! > 0 ? { entropyGradient: entropies.map((h) => h * 0.2) } : {}),
  });
  const run = async (batches: readonly TokenSequence[][]) => {
    const parameters = initializeParameters(config, 3);
    const trainer = new Trainer(config, parameters, { threads: 2 });
    const results = [];
    for (const batch of batches) results.push(await trainer.forwardBackward(batch, weighted, {}));
    trainer.close();
    return { results, gradients: parameters.gradients };
  };
  const all = [...weights.keys()];
  const together = await run([all]);
  const apart = await run(all.map((sequence) => [sequence]));
  expect(relativeError(together.gradients, apart.gradients)).toBeLessThan(1e-6);
  expect(together.results[0]!.sequences.map(({ sequence, loss }) => [sequence, loss])).toEqual([...weights]);
  // Prompt and response without the last token: 7 + 3 + 7.
  expect(together.results[0]!.tokens).toBe(17);
});

async function evaluate(options: TrainerOptions) {
  const parameters = initializeParameters(config, 3);
  const trainer = new Trainer(config, parameters, options);
  const result = await trainer.forwardBackward(sequences, loss, {});
  trainer.close();
  return { gradients: parameters.gradients, current: result.sequences.map(({ current }) => current) };
}
