/** How often weights are in memory. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadModel } from "@critique-grpo/engine";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import * as loading from "../../policy/load-model.js";
import { writeServedModel } from "../../testing/serve-fixture.js";
import { ModelHost, type Weights } from "./model-host.js";

vi.mock("../../policy/load-model.js", async (original) => {
  const real = await original<typeof loading>();
  return { loadModel: vi.fn(real.loadModel) };
});
const loads = vi.mocked(loading.loadModel);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "model-host-"));
  await writeServedModel(join(folder, "tiny"));
  const model = await loadModel({ directory: join(folder, "tiny") }, { threads: 1, lora: { rank: 2, alpha: 4 } });
  for (const name of ["a", "b", "c", "d", "e", "f"]) await model.exportAdapter(join(folder, name));
  await model.close();
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const open = () =>
  ModelHost.open({ source: { directory: join(folder, "tiny") }, load: { threads: 1 }, maxSamplers: 1 });
const fresh = (name: string): Weights => ({ name, adapter: { rank: 2, alpha: 4, seed: 1 } });
const saved = (name: string): Weights => ({ name, adapter: { directory: join(folder, name) } });
const request = { prompt: [1, 2], count: 1, maxTokens: 2, temperature: 1, stopTokens: [], seed: 1 };

it("adapters in training, saved ones and the base model share one copy of the weights", async () => {
  loads.mockClear();
  const host = await open();
  const models = [await host.createTraining(fresh("x")), await host.createTraining(fresh("y"))];
  for (const name of ["a", "b", "c", "d", "e", "f"]) await host.sample(saved(name), request);
  await host.sample(host.base, request);
  expect(loads).toHaveBeenCalledTimes(1);
  for (const model of models) await host.release(model);
  await host.close();
});

it("full fine-tuning takes a copy of its own while adapters need the base, and the base's place when they are gone", async () => {
  loads.mockClear();
  const host = await open();
  const adapters = await host.createTraining(fresh("x"));
  const full = await host.createTraining(host.base);
  expect(loads).toHaveBeenCalledTimes(2);
  await host.release(adapters);
  const second = await host.createTraining(host.base);
  expect(loads).toHaveBeenCalledTimes(2);
  for (const model of [full, second]) await host.release(model);
  await host.close();
});

it("an adapter that cannot be opened does not keep the base", async () => {
  loads.mockClear();
  const host = await open();
  await expect(host.sample(saved("missing"), request)).rejects.toThrow("adapter_config.json");
  const full = await host.createTraining(host.base);
  expect(loads).toHaveBeenCalledTimes(1);
  await host.release(full);
  await host.close();
});
