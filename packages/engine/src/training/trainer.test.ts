import { describe, expect, test } from "vitest";
import { relativeError } from "../graph/vjp-check.js";
import type { TokenLoss, TokenSequence } from "../types.js";
import { freshAdapter, initializeParameters, loraConfig, parseModelConfig } from "../weights/index.js";
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

describe("sequences that share a prompt", () => {
  const prompt = [5, 6, 7, 8];
  const group: TokenSequence[] = [
    ...[[1, 2, 3, 4, 5, 6], [9], [1, 2, 7], [20, 21, 22, 23]].map((response) => ({ prompt, response })),
    // The input of another one's prompt: it ends where the others go on.
    { prompt: [5, 6, 7], response: [8, 11] },
    { prompt: [40], response: [41, 42] },
    { prompt: [40], response: [43, 44] },
  ];
  const run = async (batches: readonly (readonly TokenSequence[])[], options: TrainerOptions, lora?: boolean) => {
    const parameters = initializeParameters(config, 3);
    const targets = { rank: 2, alpha: 4, targets: ["q_proj", "down_proj"] as const };
    const adapter = lora ? freshAdapter(config, loraConfig(targets), 5) : undefined;
    // A fresh adapter's B is zero, and with it the gradient of A.
    for (const i of adapter?.parameters.data.keys() ?? []) adapter!.parameters.data[i] = Math.sin(i) / 10;
    const trainer = new Trainer(config, parameters, { ...options, adapter });
    const results = [];
    for (const batch of batches) results.push(await trainer.forwardBackward(batch, loss, {}));
    trainer.close();
    const current = results.flatMap(({ sequences }) => sequences.map((each) => each.current));
    return { results, current, gradients: (adapter?.parameters ?? parameters).gradients };
  };

  test.each<[string, TrainerOptions, boolean]>([
    ["full fine-tuning", { threads: 1 }, false],
    ["two lanes", { threads: 2 }, false],
    ["attention by blocks of rows", { threads: 1, blockRows: 3 }, false],
    ["no layer's activations kept", { threads: 1, recompute: "always" }, false],
    ["adapters", { threads: 1 }, true],
  ])("have the gradients that each has alone: %s", async (_, options, lora) => {
    const together = await run([group], options, lora);
    const apart = await run(
      group.map((sequence) => [sequence]),
      options,
      lora,
    );
    expect(relativeError(together.gradients, apart.gradients)).toBeLessThan(2e-6);
    for (const [index, { logprobs, entropies }] of apart.current.entries()) {
      expect(relativeError(together.current[index]!.logprobs, logprobs)).toBeLessThan(1e-6);
      expect(relativeError(together.current[index]!.entropies, entropies)).toBeLessThan(1e-6);
    }
  });

  test("compute it once, and one row of padding", async () => {
    const { results } = await run([group], { threads: 1 });
    // Inputs are prompt and response without its last token. Three have the prompt of four; the second one's input ends
    // where a prompt of three goes on; two have the prompt of one.
    const computedTokens = 4 + (5 + 2 + 3) + 4 + 1 + (1 + 1);
    expect(results[0]).toMatchObject({ tokens: 30, computedTokens: computedTokens + 1, paddingTokens: 1 });
  });
});

async function evaluate(options: TrainerOptions) {
  const parameters = initializeParameters(config, 3);
  const trainer = new Trainer(config, parameters, options);
  const result = await trainer.forwardBackward(sequences, loss, {});
  trainer.close();
  return { gradients: parameters.gradients, current: result.sequences.map(({ current }) => current) };
}
