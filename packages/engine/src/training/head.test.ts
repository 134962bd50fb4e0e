import { expect, test } from "vitest";
import { relativeError } from "../graph/vjp-check.js";
import type { TokenLoss, TokenSequence } from "../types.js";
import { initializeParameters, parseModelConfig } from "../weights/index.js";
import { Trainer } from "./trainer.js";

const config = parseModelConfig({
  architectures: ["LlamaForCausalLM"],
  vocab_size: 50,
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 1,
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

test("a vocabulary that does not fit one chunk gives the same gradients", async () => {
  const runs = [];
  for (const headChunkElements of [1 << 20, 150]) {
    const parameters = initializeParameters(config, 3);
    const trainer = new Trainer(config, parameters, { headChunkElements });
    const result = await trainer.forwardBackward(sequences, loss, {});
    trainer.close();
    runs.push({ gradients: parameters.gradients, logprobs: result.sequences.map(({ current }) => current) });
  }
  expect(relativeError(runs[1]!.gradients, runs[0]!.gradients)).toBeLessThan(1e-6);
  for (const [index, { logprobs, entropies }] of runs[0]!.logprobs.entries()) {
    expect(relativeError(runs[1]!.logprobs[index]!.logprobs, logprobs)).toBeLessThan(1e-6);
    expect(relativeError(runs[1]!.logprobs[index]!.entropies, entropies)).toBeLessThan(1e-6);
  }
});
