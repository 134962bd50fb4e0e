import { expect, test } from "vitest";
import { matmulParameters, trainingFlops } from "./flops.js";

const shape = {
  vocab_size: 5,
  hidden_size: 4,
  intermediate_size: 6,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 3,
};

test("matrix parameters are those of the projections, the feed-forward and the head", () => {
  const layer = 4 * 6 + 6 * 4 + 2 * (4 * 3) + 3 * (4 * 6);
  expect(matmulParameters(shape)).toBe(2 * layer + 4 * 5);
});

test("a sequence of one token attends to itself once", () => {
  expect(trainingFlops(shape, 1, 1)).toBe(6 * matmulParameters(shape) + 12 * 2 * 2 * 3);
});

test("work grows linearly with the batch and faster than linearly with the length", () => {
  expect(trainingFlops(shape, 8, 16)).toBe(8 * trainingFlops(shape, 1, 16));
  expect(trainingFlops(shape, 1, 32)).toBeGreaterThan(2 * trainingFlops(shape, 1, 16));
});
