import { getEventListeners } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadModel } from "@critique-grpo/engine";
import { afterAll, beforeAll, expect, it } from "vitest";
import { writeServedModel } from "../../testing/serve-fixture.js";
import { LoadedModel } from "./loaded-model.js";

let folder: string;
let loaded: LoadedModel;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "loaded-model-"));
  await writeServedModel(folder);
  loaded = new LoadedModel(await loadModel({ directory: folder }, { threads: 1 }), "w");
});
afterAll(async () => {
  await loaded.close();
  await rm(folder, { recursive: true, force: true });
});

const request = { prompt: [1, 2], count: 1, maxTokens: 4, temperature: 1, stopTokens: [], seed: 1 };
const long = { ...request, maxTokens: 120, count: 64 };

it("leaves nothing on a signal that many requests share, one after another and in one batch", async () => {
  const { signal } = new AbortController();
  let most = 0;
  const watch = setInterval(() => (most = Math.max(most, getEventListeners(signal, "abort").length)), 1);
  for (let piece = 0; piece < 3; piece++) await loaded.sample(request, "w", signal);
  await Promise.all(Array.from({ length: 20 }, () => loaded.sample({ ...request, maxTokens: 60 }, "w", signal)));
  clearInterval(watch);
  await loaded.run(async () => {});
  expect(most).toBeLessThanOrEqual(1);
  expect(getEventListeners(signal, "abort")).toEqual([]);
});

it("ends a batch when all of its requests were given up, and not before", async () => {
  const [one, two] = [new AbortController(), new AbortController()];
  const batch = [one, one, two].map(({ signal }) => loaded.sample(long, "w", signal));
  const settled = Promise.allSettled(batch);
  await new Promise((resolve) => setTimeout(resolve, 20));
  one.abort();
  expect(await Promise.race([settled, new Promise((resolve) => setTimeout(resolve, 20, "goes on"))])).toBe("goes on");
  two.abort();
  for (const { status } of await settled) expect(status).toBe("rejected");
});
