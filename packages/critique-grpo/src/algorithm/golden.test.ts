/**
 * Loss and gradients of a whole mini-batch, down to the logits, against PyTorch's automatic differentiation. The values
 * were printed by this program (torch 2, float64):
 *
 *     import torch, json
 *     torch.set_default_dtype(torch.float64)
 *     i = torch.arange(5.)[:, None]; j = torch.arange(5.)[None]
 *     reference_table = torch.sin(1 + 3*i + 7*j) + 0.3*torch.cos(i + j)
 *     sequences = [(0, [1, 2, 4], [0.3, -0.4, 0.1], 0.75, False), (0, [3, 3], [-0.5, 0.2], -0.25, False), (0, [2, 1, 4, 4], None, 0.875, True)]
 *     def run(temperature, clip, aggregation, kl, entropy, shaping):
 *         table = torch.sin(1 + 3*i + 7*j).requires_grad_()
 *         N, T = len(sequences), sum(len(r) for _, r, *_ in sequences)
 *         loss = 0
 *         for first, response, shift, A, refinement in sequences:
 *             rows = torch.tensor([first] + response[:-1]); y = torch.tensor(response)
 *             logp = torch.log_softmax(table[rows] / temperature, -1)
 *             ref = torch.log_softmax(reference_table[rows] / temperature, -1).gather(1, y[:, None])[:, 0]
 *             H = -(logp.exp() * logp).sum(-1)
 *             l = logp.gather(1, y[:, None])[:, 0]
 *             if refinement: token = -A * shaping(l.exp())
 *             else:
 *                 ratio = torch.exp(l - (l.detach() - torch.tensor(shift)))
 *                 token = -A * ratio
 *                 if clip: token = torch.maximum(token, -A * torch.clamp(ratio, 1 - clip[0], 1 + clip[1]))
 *             if kl: token = token + kl * (torch.exp(ref - l) - (ref - l) - 1)
 *             w = {"token-mean": 1/T, "constant-length": 1/(N*6), "seq-mean-token-mean": 1/(N*len(response))}[aggregation]
 *             loss = loss + w * token.sum() - entropy * H.sum() / T
 *         loss.backward()
 *         return dict(loss=loss.item(), gradient=[round(x, 9) for x in table.grad.flatten().tolist()])
 *     print(json.dumps(run(1, (0.2, 0.28), "token-mean", 0.05, 0.01, lambda p: p)))
 *     print(json.dumps(run(0.7, None, "constant-length", 0, 0.001, lambda p: p / (p + 0.1))))
 *     print(json.dumps(run(1, None, "seq-mean-token-mean", 0, 0, lambda p: torch.sqrt(p))))
 *     # The supervised objective is PyTorch's own cross-entropy of all three responses:
 *     table = torch.sin(1 + 3*i + 7*j).requires_grad_()
 *     rows = torch.tensor([t for first, r, *_ in sequences for t in [first] + r[:-1]])
 *     loss = torch.nn.functional.cross_entropy(table[rows], torch.tensor([t for _, r, *_ in sequences for t in r]))
 *     loss.backward()
 *     print(json.dumps(dict(loss=loss.item(), gradient=[round(x, 9) for x in table.grad.flatten().tolist()])))
 */
import { describe, expect, it } from "vitest";
import type { TrainingSequence } from "../rollout/records.js";
import { TabularPolicy } from "../testing/tabular-policy.js";
import { type Aggregation, sequenceWeights } from "./aggregation.js";
import { createTokenLoss, type TokenLossSettings } from "./token-loss.js";

interface Case {
  readonly name: string;
  readonly temperature: number;
  readonly aggregation: Aggregation;
  readonly settings: TokenLossSettings;
  readonly loss: number;
  readonly gradient: readonly number[];
}

const cases: readonly Case[] = [
  {
    name: "GRPO: token mean, clipped with two bounds, KL, entropy",
    temperature: 1,
    aggregation: "token-mean",
    settings: {
      objective: "policy-gradient",
      samplerCap: null,
      importanceCap: null,
      clip: { low: 0.2, high: 0.28 },
      shaping: { type: "none" },
      klCoefficient: 0.05,
      entropyWeight: 0.01 / 9,
    },
    loss: -0.31544974710996815,
    gradient: [
      0.005613984, 0.00619818, -0.016567162, 0.003815153, 0.000939845, 0.011564366, 0.009017193, -0.042889151,
      0.021903274, 0.000404317, 0.026763978, 0.00905602, 0.032135342, 0.018065404, -0.086020743, -0.005689472,
      -0.003800537, -0.004011292, 0.026313743, -0.012812441, 0.001313645, 0.002299075, 0.002414824, 0.001487212,
      -0.007514755,
    ],
  },
  {
    name: "Critique-GRPO: constant length, p/(p + 0.1), entropy, temperature 0.7",
    temperature: 0.7,
    aggregation: "constant-length",
    settings: {
      objective: "policy-gradient",
      samplerCap: null,
      importanceCap: null,
      clip: null,
      shaping: { type: "ratio", gamma: 0.1 },
      klCoefficient: 0,
      entropyWeight: 0.001 / 9,
    },
    loss: -0.23770770642840547,
    gradient: [
      0.024411445, -0.050158229, 0.003709693, 0.019228946, 0.002808145, 0.004166133, 0.002936739, -0.035698887,
      0.01022551, 0.018370505, 0.016601388, 0.014658492, 0.021481713, 0.009541891, -0.062283484, -0.003634759,
      -0.002010081, -0.002175804, 0.019800576, -0.011979932, 0.002432101, 0.004950454, 0.005270452, 0.002845806,
      -0.015498813,
    ],
  },
  {
    name: "mean of sequence means, √p",
    temperature: 1,
    aggregation: "seq-mean-token-mean",
    settings: {
      objective: "policy-gradient",
      samplerCap: null,
      importanceCap: null,
      clip: null,
      shaping: { type: "sqrt" },
      klCoefficient: 0,
      entropyWeight: 0,
    },
    loss: -0.3299290423512822,
    gradient: [
      0.028777636, -0.079123956, 0.006389719, 0.037568139, 0.006388463, 0.009587173, 0.007517536, -0.046216916,
      0.017901363, 0.011210845, 0.024327525, 0.013899633, 0.029115698, 0.016535798, -0.083878654, -0.008739955,
      -0.005757646, -0.006088172, 0.040838606, -0.020252834, 0.001847147, 0.003023516, 0.003157722, 0.002059695,
      -0.01008808,
    ],
  },
  {
    name: "supervised: cross-entropy",
    temperature: 1,
    aggregation: "token-mean",
    settings: {
      objective: "supervised",
      samplerCap: null,
      importanceCap: null,
      clip: null,
      shaping: { type: "none" },
      klCoefficient: 0,
      entropyWeight: 0,
    },
    loss: 1.7223832631540836,
    gradient: [
      0.091710271, -0.004783857, -0.035360142, -0.071925403, 0.020359131, 0.026591806, 0.020851282, -0.084364217,
      0.049652755, -0.012731626, 0.048200257, -0.043822897, 0.057687089, 0.032762466, -0.094826915, 0.019081787,
      0.012570564, 0.013292195, -0.089162195, 0.044217648, 0.018450817, 0.030201357, 0.031541923, 0.020573921,
      -0.100768018,
    ],
  },
];

const SIZE = 5;
const MAX_LENGTH = 6;
interface GoldenResponse extends Pick<TrainingSequence, "response" | "advantage" | "origin"> {
  readonly shift: readonly number[] | null;
}

const responses: readonly GoldenResponse[] = [
  { response: [1, 2, 4], shift: [0.3, -0.4, 0.1], advantage: 0.75, origin: "initial" },
  { response: [3, 3], shift: [-0.5, 0.2], advantage: -0.25, origin: "initial" },
  { response: [2, 1, 4, 4], shift: null, advantage: 0.875, origin: "refinement" },
];

function table(entry: (i: number, j: number) => number): Float64Array {
  return Float64Array.from({ length: SIZE * SIZE }, (_, k) => entry(Math.floor(k / SIZE), k % SIZE));
}

const start = table((i, j) => Math.sin(1 + 3 * i + 7 * j));
const reference = table((i, j) => Math.sin(1 + 3 * i + 7 * j) + 0.3 * Math.cos(i + j));

describe("a mini-batch", () => {
  it.each(cases)(
    "has PyTorch's loss and gradient ($name)",
    async ({ temperature, aggregation, settings, loss, gradient }) => {
      const policy = new TabularPolicy({ vocabularySize: SIZE, logits: start });
      const bare = responses.map(({ response }) => ({ prompt: [0], response }));
      const current = await policy.logprobs(bare, { temperature });
      const ofReference = await new TabularPolicy({ vocabularySize: SIZE, logits: reference }).logprobs(bare, {
        temperature,
      });
      const weights = sequenceWeights(
        responses.map(({ response }) => response.length),
        aggregation,
        MAX_LENGTH,
      );
      const sequences = responses.map(
        ({ response, shift, advantage, origin }, i): TrainingSequence => ({
          prompt: [0],
          response,
          oldLogprobs: shift && Float32Array.from(shift, (by, t) => current[i]!.logprobs[t]! - by),
          proximalLogprobs: null,
          samplingLogprobs: null,
          referenceLogprobs: ofReference[i]!.logprobs,
          advantage,
          origin,
          weight: weights[i]!,
        }),
      );
      const result = await policy.forwardBackward(sequences, createTokenLoss(settings), { temperature });
      expect(result.loss).toBeCloseTo(loss, 6);
      for (const [k, value] of gradient.entries()) expect(policy.gradient[k]).toBeCloseTo(value, 6);
    },
  );
});
