import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { randomDatums } from "../testing/fixtures.js";
import { chunkData, datumBytes, mergeMetrics } from "./chunking.js";

describe("chunks", () => {
  it("keep every datum in order and stay within the limits where a datum alone does", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 1, max: 2_000 }),
        (count, maxDatums, maxBytes) => {
          const data = randomDatums(count, 8, 1, "rl");
          const chunks = chunkData(data, "protobuf", { maxDatums, maxBytes });
          expect(chunks.flat()).toEqual(data);
          for (const chunk of chunks) {
            expect(chunk.length).toBeLessThanOrEqual(maxDatums);
            const bytes = chunk.reduce((total, datum) => total + datumBytes(datum, "protobuf"), 0);
            expect(chunk.length === 1 || bytes <= maxBytes).toBe(true);
          }
        },
      ),
    );
  });
});

describe("metrics", () => {
  const output = (datums: number, metrics: Record<string, number>) => ({
    lossFnOutputType: "",
    lossFnOutputs: Array.from({ length: datums }, () => ({})),
    metrics,
  });

  it("are merged by the reduction in their name", () => {
    const merged = mergeMetrics([
      output(1, {
        "loss:sum": 1,
        "len:mean": 4,
        "a:min": 1,
        "a:max": 1,
        "gap:slack": 4,
        "id:unique": 7,
        "h:hash2": 5,
        "odd:median": 3,
        "half:sum": 1,
      }),
      output(3, {
        "loss:sum": 2,
        "len:mean": 8,
        "a:min": -1,
        "a:max": 9,
        "gap:slack": 8,
        "id:unique": 9,
        "h:hash2": 6,
        "odd:median": 3,
      }),
    ]);
    expect(merged).toEqual({
      "loss:sum": 3,
      "len:mean": 7,
      "a:min": -1,
      "a:max": 9,
      "gap:slack": 1,
      "id:unique": 7,
      "id:unique_1": 9,
      "h:hash2": 11,
    });
  });
});
