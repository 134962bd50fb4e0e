import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { mapConcurrent } from "./concurrency.js";

const items = Array.from({ length: 20 }, (_, i) => i);

describe("mapConcurrent", () => {
  it("keeps the order of the items and the limit of calls in flight", async () => {
    let inFlight = 0;
    let highest = 0;
    const results = await mapConcurrent(items, 4, async (item) => {
      highest = Math.max(highest, ++inFlight);
      await sleep(item % 3);
      inFlight--;
      return item * 2;
    });
    expect(results).toEqual(items.map((item) => item * 2));
    expect(highest).toBe(4);
  });

  it("starts nothing more after an error or an abort", async () => {
    const started: number[] = [];
    const broken = mapConcurrent(items, 2, async (item) => {
      started.push(item);
      await sleep(1);
      if (item === 3) throw new Error("no");
    });
    await expect(broken).rejects.toThrow("no");
    await sleep(5);
    expect(started.length).toBeLessThan(8);

    const abort = new AbortController();
    const aborted = mapConcurrent(items, 1, async (item) => item === 2 && abort.abort(), abort.signal);
    await expect(aborted).rejects.toMatchObject({ name: "AbortError" });
  });
});
