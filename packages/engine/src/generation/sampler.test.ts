import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RandomStream } from "./random.js";
import { Sampler, type SamplingParameters } from "./sampler.js";

const all: SamplingParameters = { temperature: 1, topK: 0, topP: 1 };

function softmax(logits: Float32Array): Float32Array {
  const maximum = Math.max(...logits);
  const exponentials = logits.map((logit) => Math.exp(logit - maximum));
  const total = exponentials.reduce((sum, value) => sum + value, 0);
  return exponentials.map((value) => value / total);
}

/** How often each token is drawn in `count` draws. */
function frequencies(logits: Float32Array, parameters: SamplingParameters, count: number): number[] {
  const sampler = new Sampler(logits.length);
  const probabilities = softmax(logits);
  const random = new RandomStream(7, 0);
  const drawn = new Array<number>(logits.length).fill(0);
  for (let index = 0; index < count; index++) drawn[sampler.draw(logits, probabilities, 0, parameters, random)]!++;
  return drawn.map((value) => value / count);
}

const logits = Float32Array.of(1, 3, -2, 2.5, 0, 2.5);

test("tokens are drawn with their probabilities", () => {
  const expected = softmax(logits);
  for (const [token, frequency] of frequencies(logits, all, 40_000).entries()) {
    expect(Math.abs(frequency - expected[token]!)).toBeLessThan(0.012);
  }
});

test("top-k keeps the k likeliest, renormalised; ties with the k-th are kept", () => {
  const drawn = frequencies(logits, { ...all, topK: 1 }, 100);
  expect(drawn[1]).toBe(1);
  const two = frequencies(logits, { ...all, topK: 2 }, 20_000);
  expect(two.map((frequency) => frequency > 0)).toEqual([false, true, false, true, false, true]);
  expect(two[1]).toBeCloseTo(Math.exp(0.5) / (Math.exp(0.5) + 2), 1);
});

test("top-p keeps the smallest set that reaches p", () => {
  // Probabilities: token 1 0.416, tokens 3 and 5 0.252 each.
  const kept = (topP: number) => frequencies(logits, { ...all, topP }, 4000).map((frequency) => frequency > 0);
  expect(kept(0.01)).toEqual([false, true, false, false, false, false]);
  expect(kept(0.43)).toEqual([false, true, false, true, false, false]);
  expect(kept(0.7)).toEqual([false, true, false, true, false, true]);
});

test("top-k comes first, and top-p counts the renormalised rest", () => {
  // Among tokens 1, 3, 5 token 1 has 0.452: enough for p = 0.44, though it has 0.416 of all.
  const drawn = frequencies(logits, { ...all, topK: 3, topP: 0.44 }, 500);
  expect(drawn[1]).toBe(1);
});

test("greedy takes the first of the largest and draws no number", () => {
  const random = new RandomStream(1, 0);
  const sampler = new Sampler(3);
  const row = Float32Array.of(0, 2, 2);
  expect(sampler.draw(row, softmax(row), 0, { ...all, temperature: 0 }, random)).toBe(1);
  expect(random.next()).toBe(new RandomStream(1, 0).next());
});

test("every way of drawing gives a token that its rules allow", () => {
  fc.assert(
    fc.property(
      fc.array(fc.float({ min: -30, max: 30, noNaN: true }), { minLength: 1, maxLength: 40 }),
      fc.nat(45),
      fc.double({ min: 0.01, max: 1, noNaN: true }),
      fc.nat(1000),
      (values, topK, topP, seed) => {
        const row = Float32Array.from(values);
        const probabilities = softmax(row);
        const sampler = new Sampler(row.length);
        const token = sampler.draw(row, probabilities, 0, { temperature: 1, topK, topP }, new RandomStream(seed, 0));
        const larger = row.filter((value) => value > row[token]!).length;
        const massAbove = row.reduce((sum, value, i) => (value > row[token]! ? sum + probabilities[i]! : sum), 0);
        return probabilities[token]! > 0 && (topK === 0 || larger < topK) && (topP === 1 || massAbove < topP + 1e-5);
      },
    ),
  );
});

describe("rows that are not finite are an error", () => {
  test.each([
    ["all", all],
    ["greedy", { ...all, temperature: 0 }],
    ["top-k", { ...all, topK: 2 }],
    ["top-p", { ...all, topP: 0.5 }],
  ])("%s", (_, parameters) => {
    const row = new Float32Array(4).fill(Number.NaN);
    expect(() => new Sampler(4).draw(row, row, 0, parameters, new RandomStream(1, 0))).toThrow("not finite");
  });
});
