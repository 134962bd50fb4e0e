/** Adapters over one base model, trained by our Tinker client. */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadModel } from "@critique-grpo/engine";
import { type CreateModelOptions, ServiceClient, type TrainingClient } from "@critique-grpo/tinker";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { unpackArchive } from "../policy/tinker-archive.js";
import { verifyExport } from "../policy/tinker-export.js";
import { writeServedModel } from "../testing/serve-fixture.js";
import { bytes, END, lesson, logprobsOf, rawRequest, train } from "../testing/serve-requests.js";
import { type RunningServer, type ServeOptions, startServer } from "./index.js";

let folder: string;
let server: RunningServer;
let client: ServiceClient;

const QUICK = { initialDelayMs: 5, maxDelayMs: 20 };
const connect = ({ url, apiKey }: RunningServer) =>
  ServiceClient.connect({ baseUrl: url, apiKey, env: {}, retry: QUICK });
const start = (options: Partial<ServeOptions> = {}) =>
  startServer({ model: join(folder, "tiny"), checkpoints: join(folder, "saved"), threads: 1, ...options });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "serve-lora-"));
  await writeServedModel(join(folder, "tiny"));
  server = await start();
  client = await connect(server);
});
afterAll(async () => {
  await client?.close();
  await server?.close();
  await rm(folder, { recursive: true, force: true });
});

const create = (options: Partial<CreateModelOptions> = {}, from = client): Promise<TrainingClient> =>
  from.createTrainingClient({ baseModel: "tiny", loraRank: 4, seed: 1, ...options });
const unload = (...models: readonly TrainingClient[]) => Promise.all(models.map((model) => model.unload()));

const request = { prompt: bytes("1+1="), numSamples: 3, samplingParams: { maxTokens: 5, seed: 7, stop: [END] } };
/** What a sampler draws, with its logprobs, to the bit. */
async function drawn(sampler: Awaited<ReturnType<ServiceClient["createSamplingClient"]>>): Promise<unknown> {
  const { sequences } = await sampler.sample(request);
  return sequences.map(({ tokens, logprobs }) => [[...tokens], [...(logprobs ?? [])]]);
}

const post = async (path: string, body: object) => (await rawRequest(server, "POST", `/api/v1/${path}`, body)).json;
const result = async (path: string, body: object) =>
  post("retrieve_future", { request_id: (await post(path, body)).request_id });

describe("a model with adapters", () => {
  it("starts as the base model, learns, and leaves the base model as it is", async () => {
    const base = await client.createSamplingClient({ baseModel: "tiny" });
    const untrained = await drawn(base);
    const training = await create();
    expect((await training.getInfo()).loraRank).toBe(4);
    expect(await drawn(await training.saveWeightsAndGetSamplingClient())).toEqual(untrained);
    const losses = await train(training, 8);
    expect(losses.at(-1)).toBeLessThan(losses[0]! * 0.97);
    expect(await drawn(await training.saveWeightsAndGetSamplingClient())).not.toEqual(untrained);
    expect(await drawn(base)).toEqual(untrained);
    await unload(training);
  });

  it("is trained as if it were alone, whatever others do in between", async () => {
    const alone = await create();
    const expected = [...(await train(alone, 4)), ...(await logprobsOf(alone))];
    await unload(alone);
    const [same, other, wider] = await Promise.all([create(), create({ seed: 2 }), create({ loraRank: 8 })]);
    const [losses, others] = await Promise.all([train(same, 4), train(other, 4), train(wider, 4)]);
    expect([...losses, ...(await logprobsOf(same))]).toEqual(expected);
    // At the first step all are the base model; then seeds differ.
    expect(others[0]).toBe(losses[0]);
    expect(others[3]).not.toBe(losses[3]);
    await unload(same, other, wider);
  });

  it("goes on from a saved state as if nothing had happened, from its weights alone without moments", async () => {
    const training = await create();
    await train(training, 3);
    const path = await training.saveState("after-3");
    const before = await logprobsOf(training);
    const resumed = await client.createTrainingClientFromState(path);
    const fresh = await client.createTrainingClientFromState(path, { optimizer: false });
    expect((await resumed.getInfo()).loraRank).toBe(4);
    for (const each of [resumed, fresh]) expect(await logprobsOf(each)).toEqual(before);
    const onward = await train(training, 2);
    expect(await train(resumed, 2)).toEqual(onward);
    expect(await train(fresh, 2)).not.toEqual(onward);
    expect(await logprobsOf(resumed)).toEqual(await logprobsOf(training));
    await unload(training, resumed, fresh);
  });

  it("is made from a saved state in one request, as newer SDKs do it", async () => {
    const training = await create({ trainAttn: false });
    await train(training, 2);
    const path = await training.saveState("one-request");
    const expected = await train(training, 1);
    const body = { session_id: client.sessionId, model_seq_id: 900, path, optimizer: true };
    const { model_id } = await result("load_weights", body);
    expect(await post("get_info", { model_id })).toMatchObject({ is_lora: true, lora_rank: 4, train_attn: false });
    const sent = { forward_backward_input: { loss_fn: "cross_entropy", data: lessonJson }, model_id, seq_id: 1 };
    expect((await result("forward_backward", sent)).metrics["loss:sum"]).toBeCloseTo(expected[0]!, 4);
    await unload(training);
    await result("unload_model", { model_id });
  });

  it("is sampled as it was when it was saved, however it is trained on, and after a restart", async () => {
    const training = await create();
    await train(training, 2);
    const sampler = await training.saveWeightsAndGetSamplingClient();
    const { path } = await training.saveWeightsForSampler("kept");
    const [scored] = [await sampler.computeLogprobs([...bytes("1+1=2"), END])];
    const trained = await logprobsOf(training);
    for (const [i, value] of scored.slice(1).entries()) expect(value).toBeCloseTo(trained[i]!, 4);
    const expected = await drawn(sampler);
    await train(training, 3);
    expect(await drawn(await training.saveWeightsAndGetSamplingClient())).not.toEqual(expected);
    expect(await drawn(sampler)).toEqual(expected);
    await unload(training);

    const second = await start();
    const later = await connect(second);
    expect(await drawn(await later.createSamplingClient({ modelPath: path! }))).toEqual(expected);
    await later.close();
    await second.close();
  });

  it("is saved and downloaded as a PEFT adapter without the base weights", async () => {
    const training = await create({ trainAttn: false });
    await train(training, 2);
    const { path } = await training.saveWeightsForSampler("peft");
    const [run] = (await readdir(join(folder, "saved"))).filter(
      (name) => training.modelId.replaceAll(":", ".") === name,
    );
    expect(await readdir(join(folder, "saved", run!, "sampler_weights", "peft"))).toEqual([
      "adapter",
      "checkpoint.json",
    ]);
    const archive = join(folder, "peft.tar.gz");
    await client.rest.downloadArchive(path!, archive);
    const target = await mkdtemp(join(folder, "unpacked-"));
    expect(await verifyExport(target, await unpackArchive(archive, target))).toBe("lora-adapter");
    expect(JSON.parse(await readFile(join(target, "adapter_config.json"), "utf8"))).toMatchObject({
      r: 4,
      lora_alpha: 32,
      target_modules: ["gate_proj", "up_proj", "down_proj"],
    });
    const model = await loadModel({ directory: target }, { threads: 1 });
    const tokens = [...bytes("1+1=2"), END];
    const [mine] = await model.logprobs([{ prompt: tokens.slice(0, 1), response: tokens.slice(1) }]);
    const theirs = await logprobsOf(training);
    for (const [i, value] of mine!.logprobs.entries()) expect(value).toBeCloseTo(theirs[i]!, 4);
    await model.close();
    await unload(training);
  });
});

describe("what cannot be done is refused", () => {
  it.each<[string, object, RegExp]>([
    ["a rank that is none", { rank: 4096 }, /lora_config\.rank is 4096; it must be 1 to 512/],
    ["nothing to train", { rank: 4, train_attn: false, train_mlp: false }, /nothing would be trained.*output matrix/],
    ["a flag that is none", { rank: 4, train_mlp: "yes" }, /train_mlp: expected true or false/],
  ])("%s", async (_, lora_config, message) => {
    const session_id = (await post("create_session", { tags: [] })).session_id;
    const answer = await result("create_model", { session_id, base_model: "tiny", model_seq_id: 0, lora_config });
    expect(answer).toMatchObject({ error: expect.stringMatching(message), category: "user" });
  });

  it("weights of another kind or rank, with what would fit", async () => {
    const [four, full] = [await create(), await create({ loraRank: 0 })];
    const [adapters, weights] = [await four.saveState("rank-4"), await full.saveState("all")];
    for (const optimizer of [true, false]) {
      const other = await create({ loraRank: 8 });
      await expect(other.loadState(adapters, { optimizer })).rejects.toThrow(
        /holds LoRA adapters of rank 4 on attention and MLP, but .* trains .* rank 8.*a model with lora_config rank 4, .* fits it/,
      );
      await unload(other);
      const third = await create();
      await expect(third.loadState(weights, { optimizer })).rejects.toThrow(/holds all weights.*rank 0/);
      await unload(third);
    }
    await unload(four, full);
    const only = await start({ fineTuning: "full" });
    const fully = await connect(only);
    await expect(fully.createTrainingClientFromState(adapters)).rejects.toThrow(
      /holds LoRA adapters of rank 4.*started with --full/,
    );
    await fully.close();
    await only.close();
  });

  it("full fine-tuning, where adapters alone are trained beside weights as they are stored", async () => {
    const base = await loadModel({ directory: join(folder, "tiny") }, { threads: 1 });
    await base.exportModel(join(folder, "half"), { dtype: "bfloat16" });
    await base.close();
    const [only, both] = [
      await start({ model: join(folder, "half"), fineTuning: "lora", modelName: "tiny" }),
      await start({ model: join(folder, "half"), modelName: "tiny" }),
    ];
    const [own, other] = [await connect(only), await connect(both)];
    await expect(create({ loraRank: 0 }, own)).rejects.toThrow("--lora-only");
    const [training, expected] = [await create({}, own), await create({}, other)];
    expect(await train(training, 3)).toEqual(await train(expected, 3));
    const sampler = await own.createSamplingClient({ baseModel: "tiny" });
    expect(await drawn(sampler)).toEqual(await drawn(await other.createSamplingClient({ baseModel: "tiny" })));
    await Promise.all([own.close(), other.close()]);
    await Promise.all([only.close(), both.close()]);
  });

  it("more models than the limit, counted apart from those with weights of their own", async () => {
    const small = await start({ maxAdapters: 2, maxModels: 1, sessionTimeoutMs: 200 });
    const own = await connect(small);
    const models = [await create({}, own), await create({}, own), await create({ loraRank: 0 }, own)];
    // A client that lives shows it.
    const alive = setInterval(() => void models[0]!.getInfo(), 30);
    await expect(create({}, own)).rejects.toThrow(/2 models are in memory and in use.*--max-adapters/);
    await expect(create({ loraRank: 0 }, own)).rejects.toThrow(/1 models are in memory and in use.*--max-models/);
    clearInterval(alive);
    await models[1]!.unload();
    await train(await create({}, own), 1);
    await own.close();
    await small.close();
  });
});

const lessonJson = lesson.map(({ modelInput, lossFnInputs }) => ({
  model_input: modelInput,
  loss_fn_inputs: Object.fromEntries(
    Object.entries(lossFnInputs).map(([key, { data, dtype }]) => [key, { data: [...data].map(Number), dtype }]),
  ),
}));
