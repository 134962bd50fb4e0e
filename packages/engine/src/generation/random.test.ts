import { expect, test } from "vitest";
import { philox, RandomStream } from "./random.js";

test("Philox4x32-10 gives the known answers of Random123", () => {
  const answer = (counter: number[], key: number[]) => {
    const block = Uint32Array.from(counter);
    philox(block, key[0]!, key[1]!);
    return [...block].map((word) => word.toString(16).padStart(8, "0")).join(" ");
  };
  const ones = 0xffffffff;
  expect(answer([0, 0, 0, 0], [0, 0])).toBe("6627e8d5 e169c58d bc57ac4c 9b00dbd8");
  expect(answer([ones, ones, ones, ones], [ones, ones])).toBe("408f276d 41c83b0e a20bc7c6 6d5451fd");
  expect(answer([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0])).toBe(
    "d16cfe09 94fdcceb 5001e420 24126ea1",
  );
});

test("streams are reproducible and differ in seed, stream and upper seed word", () => {
  const draws = (seed: number, stream: number) => {
    const random = new RandomStream(seed, stream);
    return Array.from({ length: 5 }, () => random.next());
  };
  expect(draws(1, 2)).toEqual(draws(1, 2));
  const all = [draws(1, 2), draws(1, 3), draws(2, 2), draws(2 ** 32 + 1, 2)].flat();
  expect(new Set(all).size).toBe(20);
  for (const value of all) expect(value >= 0 && value < 1).toBe(true);
});

test("numbers are uniform: mean, variance and serial correlation of 100,000", () => {
  const random = new RandomStream(42, 0);
  const count = 100_000;
  let [sum, squares, products, previous] = [0, 0, 0, 0.5];
  for (let index = 0; index < count; index++) {
    const centred = random.next() - 0.5;
    sum += centred;
    squares += centred ** 2;
    products += centred * previous;
    previous = centred;
  }
  expect(Math.abs(sum / count)).toBeLessThan(0.004);
  expect(Math.abs(squares / count - 1 / 12)).toBeLessThan(0.001);
  expect(Math.abs(products / count)).toBeLessThan(0.002);
});

test("a seed that cannot be told from another one is refused", () => {
  for (const seed of [-1, 0.5, 2 ** 53, Number.NaN])
    expect(() => new RandomStream(seed, 0)).toThrow("The seed must be");
});
