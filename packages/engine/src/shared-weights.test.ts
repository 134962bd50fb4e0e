/** Several adapters over the weights of one model. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { loadModel } from "./language-model.js";
import { smallQwen3 } from "./small-model.js";
import type { LanguageModel, SampleRequest, TokenLoss, TokenSequence } from "./types.js";

const base = { config: smallQwen3, seed: 7 };
const adapter = (seed: number) => ({ rank: 3, alpha: 6, seed });

const sequences: TokenSequence[] = Array.from({ length: 5 }, (_, i) => ({
  prompt: Array.from({ length: 1 + i }, (_, t) => (i * 11 + t * 3) % 40),
  response: Array.from({ length: 2 + i }, (_, t) => (i * 7 + t * 13) % 40),
}));
const loss: TokenLoss<TokenSequence> = (_, { logprobs }) => ({
  loss: -logprobs.reduce((sum, value) => sum + value, 0),
  logprobGradient: new Float32Array(logprobs.length).fill(-1),
});
const request: SampleRequest = { prompt: [1, 2, 3], count: 4, maxTokens: 8, temperature: 1, stopTokens: [], seed: 11 };

const adamW = { learningRate: 1e-2, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.01, maxGradNorm: 1 };
const pass = (model: LanguageModel) => model.forwardBackward(sequences, loss);
const step = (model: LanguageModel) => model.optimizerStep(adamW);

const directory = mkdtempSync(join(tmpdir(), "shared-weights-"));
const open: LanguageModel[] = [];
afterAll(async () => {
  await Promise.all(open.map((model) => model.close()));
  rmSync(directory, { recursive: true });
});
const opened = (model: LanguageModel): LanguageModel => {
  open.push(model);
  return model;
};
const load = async (...parameters: Parameters<typeof loadModel>) => opened(await loadModel(...parameters));

/** Everything that a model says about itself, to the bit. */
async function behaviour(model: LanguageModel): Promise<unknown> {
  const scored = await model.logprobs(sequences);
  const drawn: unknown[] = [];
  for await (const { sampleIndex, tokens, logprobs } of model.sample([request]))
    drawn.push([sampleIndex, ...tokens, ...logprobs]);
  return { scored: scored.map(({ logprobs }) => [...logprobs]), drawn: drawn.sort() };
}

describe("adapters over the weights of one model", () => {
  test("train as they would alone, in whatever order their calls come", async () => {
    const shared = await load(base);
    const untouched = await behaviour(shared);
    const [a, b] = [opened(await shared.openAdapter(adapter(1))), opened(await shared.openAdapter(adapter(2)))];
    const [aloneA, aloneB] = [await load(base, { lora: adapter(1) }), await load(base, { lora: adapter(2) })];
    for (const each of [a, aloneA, a, aloneA]) await pass(each);
    // B works while A has a gradient, and a step of A's lies between a pass and a step of B's.
    for (const each of [b, aloneB]) await pass(each);
    for (const each of [a, aloneA]) await step(each);
    expect(await behaviour(b)).toEqual(untouched);
    for (const each of [b, aloneB]) await step(each);
    for (const each of [a, b, aloneA, aloneB]) await pass(each).then(() => step(each));
    expect(await behaviour(a)).toEqual(await behaviour(aloneA));
    expect(await behaviour(b)).toEqual(await behaviour(aloneB));
    expect(await behaviour(a)).not.toEqual(await behaviour(b));
    expect(await behaviour(shared)).toEqual(untouched);
  });

  test("sample and train at the same time without getting in each other's way", async () => {
    const shared = await load(base, { lora: adapter(1) });
    const other = opened(await shared.openAdapter(adapter(2)));
    const alone = await load(base, { lora: adapter(2) });
    await Promise.all([pass(shared), pass(other), behaviour(shared), step(other), step(shared), pass(other)]);
    await pass(alone).then(() => step(alone));
    expect(await behaviour(other)).toEqual(await behaviour(alone));
  });

  test("save and load states and directories, each its own", async () => {
    const shared = await load(base);
    const [a, b] = [opened(await shared.openAdapter(adapter(1))), opened(await shared.openAdapter(adapter(2)))];
    for (const each of [a, b, b]) await pass(each).then(() => step(each));
    const expected = await behaviour(b);
    await b.saveState(join(directory, "state"));
    await b.exportAdapter(join(directory, "adapter"));
    await b.exportModel(join(directory, "merged"));
    const again = opened(await shared.openAdapter({ directory: join(directory, "adapter") }));
    expect(again.info).toEqual(b.info);
    expect(await behaviour(again)).toEqual(expected);
    const merged = await load({ directory: join(directory, "merged") });
    const ofMerged = await merged.logprobs(sequences);
    for (const [i, { logprobs }] of (await b.logprobs(sequences)).entries())
      for (const [t, value] of logprobs.entries()) expect(ofMerged[i]!.logprobs[t]).toBeCloseTo(value, 4);
    await a.loadState(join(directory, "state"));
    for (const each of [a, b]) await pass(each).then(() => step(each));
    expect(await behaviour(a)).toEqual(await behaviour(b));
    // Its own moments: a loaded adapter begins without any.
    await pass(again).then(() => step(again));
    expect(await behaviour(again)).not.toEqual(await behaviour(b));
  });

  test("may have other shapes, and go on when the others are closed", async () => {
    const shared = await loadModel(base);
    const [small, attention] = [
      opened(await shared.openAdapter(adapter(1))),
      opened(await shared.openAdapter({ rank: 5, alpha: 32, targets: ["q_proj"] })),
    ];
    const another = await shared.openAdapter(adapter(2));
    expect(attention.info.lora).toEqual({ rank: 5, alpha: 32, targets: ["q_proj"] });
    for (const each of [small, attention, another]) await pass(each);
    await Promise.all([another.close(), shared.close()]);
    for (const each of [small, attention]) await step(each);
    await expect(pass(another)).rejects.toThrow("closed");
    const [last, next] = [await small.openAdapter(adapter(9)), await small.openAdapter(adapter(9))];
    expect(await behaviour(last)).toEqual(await behaviour(next));
    await Promise.all([last.close(), next.close()]);
    const alone = await load(base, { lora: adapter(1) });
    await pass(alone).then(() => step(alone));
    expect(await behaviour(small)).toEqual(await behaviour(alone));
  });

  test("keep their weights from being trained until the last one is closed", async () => {
    const shared = await load(base);
    const beside = await shared.openAdapter(adapter(1));
    await pass(shared);
    await expect(step(shared)).rejects.toThrow("shared with open adapters");
    await beside.close();
    expect(await step(shared)).toMatchObject({ skipped: false });
  });

  test("say what is wrong with an adapter, and leave nothing behind", async () => {
    const shared = await load(base);
    await expect(shared.openAdapter({ rank: 0, alpha: 1 })).rejects.toThrow(/lora\.rank is 0/);
    await expect(shared.openAdapter({ directory: join(directory, "missing") })).rejects.toThrow(/adapter_config\.json/);
    await pass(shared);
    expect(await step(shared)).toMatchObject({ skipped: false });
  });
});
