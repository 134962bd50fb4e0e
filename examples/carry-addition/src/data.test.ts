import { describe, expect, it } from "vitest";
import { apportion, makeSplits } from "./data.js";
import { countCarries, goldAnswer, parseQuestion } from "./task.js";

describe("makeSplits", () => {
  const sizes = { train: 128, heldOut: 64, outOfDistribution: 32 };
  const splits = makeSplits(3, sizes);
  const all = Object.values(splits).flat();

  it("never asks the same question twice, in one set or in two", () => {
    expect(all).toHaveLength(224);
    expect(new Set(all.map((row) => row.question)).size).toBe(224);
    expect(new Set(all.map((row) => row.id)).size).toBe(224);
  });

  it("labels each question with its carries and its sum", () => {
    for (const row of all) {
      const question = parseQuestion(row.question);
      expect(row.data_source).toBe(`carries-${countCarries(question)}`);
      expect(row.answer).toBe(goldAnswer(question));
    }
  });

  it("keeps single carries out of training and for the out-of-distribution set", () => {
    const sources = (rows: typeof all) => rows.map((row) => row.data_source);
    expect(new Set(sources([...splits.train, ...splits.heldOut]))).toEqual(
      new Set(["carries-0", "carries-2", "carries-3"]),
    );
    expect(new Set(sources([...splits.outOfDistribution]))).toEqual(new Set(["carries-1"]));
    expect(splits.train.filter((row) => row.data_source === "carries-2")).toHaveLength(64);
  });

  it("depends on the seed alone", () => {
    expect(makeSplits(3, sizes)).toEqual(splits);
    expect(makeSplits(4, sizes)).not.toEqual(splits);
  });
});

describe("apportion", () => {
  it("gives whole numbers that add up", () => {
    expect(apportion(512, [1, 0, 2, 1])).toEqual([128, 0, 256, 128]);
    expect(apportion(10, [1, 1, 1])).toEqual([3, 4, 3]);
  });
});
