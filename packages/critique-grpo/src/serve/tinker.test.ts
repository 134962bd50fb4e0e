/** Our Tinker client against the server with a real model. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Datum,
  float32Tensor,
  int64Tensor,
  ServiceClient,
  type TrainingClient,
  textInput,
} from "@critique-grpo/tinker";
import { type Fault, FaultProxy } from "@critique-grpo/tinker/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { unpackArchive } from "../policy/tinker-archive.js";
import { verifyExport } from "../policy/tinker-export.js";
import { writeServedModel } from "../testing/serve-fixture.js";
import { bytes, END, lesson, logprobsOf, rawRequest, train } from "../testing/serve-requests.js";
import { type RunningServer, startServer } from "./index.js";

let folder: string;
let server: RunningServer;
let client: ServiceClient;

const QUICK = { initialDelayMs: 5, maxDelayMs: 20 };
const connect = (apiKey = server.apiKey) =>
  ServiceClient.connect({ baseUrl: server.url, apiKey, env: {}, retry: QUICK });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "serve-test-"));
  await writeServedModel(join(folder, "tiny"));
  server = await startServer({
    model: join(folder, "tiny"),
    checkpoints: join(folder, "saved"),
    threads: 1,
    maxModels: 3,
  });
  client = await connect();
});
afterAll(async () => {
  await client?.close();
  await server?.close();
  await rm(folder, { recursive: true, force: true });
});

async function create(): Promise<TrainingClient> {
  return client.createTrainingClient({ baseModel: server.modelName, loraRank: 0 });
}

const raw = (method: string, path: string, body?: object, headers: Record<string, string> = {}, to = server) =>
  rawRequest(to, method, path, body, headers);

describe("training", () => {
  it("says what it trains: all weights with rank 0, or whatever is asked for if it was started so", async () => {
    const training = await create();
    expect((await training.getInfo()).loraRank).toBeUndefined();
    const capabilities = (to: RunningServer) => raw("GET", "/api/v1/get_server_capabilities", undefined, {}, to);
    expect((await capabilities(server)).json).toMatchObject({
      supported_models: [{ model_name: "tiny", max_context_length: 128, fine_tuning: ["lora", "full"], lora: true }],
    });
    const full = await startServer({ model: join(folder, "tiny"), threads: 1, fineTuning: "full" });
    expect((await capabilities(full)).json).toMatchObject({
      supported_models: [{ fine_tuning: ["full"], lora: false }],
    });
    const other = await ServiceClient.connect({ baseUrl: full.url, apiKey: full.apiKey, env: {}, retry: QUICK });
    const asLora = await other.createTrainingClient({ baseModel: "tiny", loraRank: 8 });
    expect((await asLora.getInfo()).loraRank).toBeUndefined();
    expect(await train(asLora, 3)).toEqual(await train(training, 3));
    await other.close();
    await full.close();
    await training.unload();
  });

  it("a supervised loop's loss falls, and a saved state goes on with the same logprobs", async () => {
    const training = await create();
    const losses = await train(training, 6);
    expect(losses.at(-1)).toBeLessThan(losses[0]! * 0.8);
    const path = await training.saveState("after-6");
    const before = await logprobsOf(training);
    const resumed = await client.createTrainingClientFromState(path);
    expect(await logprobsOf(resumed)).toEqual(before);
    // With the optimizer's moments: the next steps are the same too.
    const onward = await train(training, 2);
    await expect(train(resumed, 2)).resolves.toEqual(onward);
    expect(await logprobsOf(resumed)).toEqual(await logprobsOf(training));
    await Promise.all([training.unload(), resumed.unload()]);
  });

  it("the sampler's logprobs are the trainer's, also of weights that were trained on since", async () => {
    const training = await create();
    await train(training, 2);
    const sampler = await training.saveWeightsAndGetSamplingClient();
    const prompt = bytes("1+1=");
    const request = { prompt, numSamples: 3, samplingParams: { maxTokens: 5, seed: 7, stop: [END] } };
    const drawn = await sampler.sample(request);
    const scored = await training.forward(
      drawn.sequences.map(({ tokens }) => {
        const all = [...prompt, ...tokens];
        return {
          modelInput: textInput(all.slice(0, -1)),
          lossFnInputs: {
            target_tokens: int64Tensor(all.slice(1)),
            weights: float32Tensor(new Float32Array(all.length - 1)),
          },
        };
      }),
      "cross_entropy",
    );
    for (const [i, sequence] of drawn.sequences.entries()) {
      const trained = Array.from(scored.lossFnOutputs[i]!.logprobs!.data).slice(prompt.length - 1);
      for (const [t, logprob] of trained.entries()) expect(logprob).toBeCloseTo(sequence.logprobs![t]!, 4);
    }
    await train(training, 2);
    const again = await sampler.sample(request);
    expect(again.sequences.map(({ tokens }) => [...tokens])).toEqual(drawn.sequences.map(({ tokens }) => [...tokens]));
    const promptLogprobs = await sampler.computeLogprobs(prompt);
    expect(promptLogprobs).toHaveLength(prompt.length);
    expect(promptLogprobs[0]).toBeNull();
    await training.unload();
  });

  it("targets that are not the next input token have their own gradient", async () => {
    const training = await create();
    const [a, b, c, d] = bytes("abcd") as [number, number, number, number];
    const datum = (input: number[], targets: number[], weights: number[]): Datum => ({
      modelInput: textInput(input),
      lossFnInputs: { target_tokens: int64Tensor(targets), weights: float32Tensor(weights) },
    });
    const { lossFnOutputs: together } = await training.forwardBackward(
      [datum([a, b, c], [d, c, d], [1, 0, 1])],
      "cross_entropy",
    );
    const { metrics: first } = await training.optimStep({ learningRate: 0 });
    const { lossFnOutputs: apart } = await training.forwardBackward(
      [datum([a], [d], [1]), datum([a, b, c], [b, c, d], [0, 0, 1])],
      "cross_entropy",
    );
    const { metrics: second } = await training.optimStep({ learningRate: 0 });
    const at = (output: (typeof apart)[number], position: number) => output.logprobs!.data[position]!;
    expect(at(together[0]!, 0)).toBeCloseTo(at(apart[0]!, 0), 5);
    expect(at(together[0]!, 2)).toBeCloseTo(at(apart[1]!, 2), 5);
    expect(first["grad_norm:mean"]).toBeCloseTo(second["grad_norm:mean"]!, 4);
    await training.unload();
  });

  it("losses are sums: two calls add up to one", async () => {
    const training = await create();
    const one = await training.forwardBackward(lesson, "cross_entropy");
    const { metrics: whole } = await training.optimStep({ learningRate: 0 });
    const parts = await Promise.all(lesson.map((datum) => training.forwardBackward([datum], "cross_entropy")));
    const { metrics: summed } = await training.optimStep({ learningRate: 0 });
    const total = parts.reduce((sum, part) => sum + part.metrics["loss:sum"]!, 0);
    expect(total).toBeCloseTo(one.metrics["loss:sum"]!, 4);
    expect(summed["grad_norm:mean"]).toBeCloseTo(whole["grad_norm:mean"]!, 4);
    await training.unload();
  });

  it.each(["importance_sampling", "ppo", "cispo", "dro"])(
    "%s raises the logprob of what has an advantage",
    async (loss) => {
      const training = await create();
      const before = await logprobsOf(training);
      const data = lesson.map(({ modelInput, lossFnInputs: { target_tokens, weights } }, i) => {
        const length = target_tokens!.data.length;
        const logprobs = before.slice(i * length, (i + 1) * length);
        return {
          modelInput,
          lossFnInputs: { target_tokens: target_tokens!, logprobs: float32Tensor(logprobs), advantages: weights! },
        };
      });
      await training.forwardBackward(data, loss);
      await training.optimStep({ learningRate: 1e-3 });
      const after = await logprobsOf(training);
      const gain = after.reduce((sum, value, i) => {
        const weight = lesson.flatMap((datum) => Array.from(datum.lossFnInputs.weights!.data))[i]!;
        return sum + weight * (value - before[i]!);
      }, 0);
      expect(gain).toBeGreaterThan(0);
      await training.unload();
    },
  );

  it("a wrong datum fails alone and says where it is wrong", async () => {
    const training = await create();
    const sent = await raw("POST", "/api/v1/forward_backward", {
      model_id: training.modelId,
      seq_id: 1,
      forward_backward_input: {
        loss_fn: "cross_entropy",
        data: [
          {
            model_input: { chunks: [{ type: "encoded_text", tokens: [1, 2] }] },
            loss_fn_inputs: {
              target_tokens: { data: [2, 3], dtype: "int64" },
              mask: { data: [1, 1], dtype: "float32" },
            },
          },
        ],
      },
    });
    const failed = await raw("POST", "/api/v1/retrieve_future", { request_id: sent.json.request_id });
    expect(failed.json).toEqual({
      error: 'data[0].loss_fn_inputs: cross_entropy takes target_tokens, weights; not "mask"',
      category: "user",
    });
    await training.unload();
  });
});

describe("requests", () => {
  it("run in the order of their sequence ids, each once", async () => {
    const training = await create();
    const step = (seqId: number, rate: number) => ({
      model_id: training.modelId,
      seq_id: seqId,
      adam_params: { learning_rate: rate },
      type: "optim_step",
    });
    const second = await raw("POST", "/api/v1/optim_step", step(2, 0.1));
    const first = await raw("POST", "/api/v1/optim_step", step(1, 0.2));
    const repeated = await raw("POST", "/api/v1/optim_step", step(2, 0.1));
    expect(repeated.json.request_id).toBe(second.json.request_id);
    const other = await raw("POST", "/api/v1/optim_step", step(2, 0.3));
    expect(other.status).toBe(409);
    for (const { json } of [first, second]) {
      const result = await raw("POST", "/api/v1/retrieve_future", { request_id: json.request_id });
      expect(result.json).toMatchObject({ metrics: { "grad_norm:mean": 0 } });
    }
    await training.unload();
  });

  it("act once, whatever happens on the way", async () => {
    const faults: Fault[] = [{ kind: "drop-after" }, { kind: "duplicate" }, { kind: "truncate" }];
    // Every other submission suffers.
    const proxy = await new FaultProxy(
      () => server.url,
      (route, occurrence) =>
        /optim_step|forward_backward|save_weights|create_model/.test(route) && occurrence % 2 === 0
          ? faults[(occurrence / 2) % faults.length]
          : undefined,
    ).start();
    const disturbed = await ServiceClient.connect({ baseUrl: proxy.url, apiKey: server.apiKey, env: {}, retry: QUICK });
    const [calm, shaken] = [await create(), await disturbed.createTrainingClient({ baseModel: "tiny", loraRank: 0 })];
    expect(await train(shaken, 4)).toEqual(await train(calm, 4));
    await shaken.saveState("shaken");
    expect(await logprobsOf(shaken)).toEqual(await logprobsOf(calm));
    expect(proxy.log.length).toBeGreaterThan(6);
    await Promise.all([calm.unload(), shaken.unload()]);
    await disturbed.close();
    await proxy.stop();
  });

  it("a request whose predecessor never comes is not carried out, and says so", async () => {
    const impatient = await startServer({ model: join(folder, "tiny"), threads: 1, gapTimeoutMs: 50 });
    const post = (path: string, body: object) => raw("POST", `/api/v1/${path}`, body, {}, impatient);
    const result = async (path: string, body: object) => {
      const { json } = await post(path, body);
      return (await post("retrieve_future", { request_id: json.request_id })).json;
    };
    const { session_id } = (await post("create_session", { tags: [] })).json;
    const { model_id } = await result("create_model", { session_id, model_seq_id: 0, base_model: "tiny" });
    const step = (seq_id: number) => result("optim_step", { model_id, seq_id, adam_params: { learning_rate: 0 } });
    expect(await step(2)).toEqual({ error: "seq_id 1 never arrived, so 2 was not carried out", category: "user" });
    expect(await step(3)).toMatchObject({ metrics: {} });
    await impatient.close();
  });

  it("more models than fit are refused while the others are in use, and take the place of silent ones", async () => {
    const small = await startServer({ model: join(folder, "tiny"), threads: 1, maxModels: 1, sessionTimeoutMs: 300 });
    const post = (path: string, body: object) => raw("POST", `/api/v1/${path}`, body, {}, small);
    const newSession = async () => (await post("create_session", { tags: [] })).json.session_id as string;
    const newModel = async (session_id: string) => {
      const { json } = await post("create_model", { session_id, model_seq_id: 0, base_model: "tiny" });
      return (await post("retrieve_future", { request_id: json.request_id })).json;
    };
    const [living, other] = [await newSession(), await newSession()];
    const { model_id } = await newModel(living);
    const heartbeat = setInterval(() => void post("session_heartbeat", { session_id: living }), 30);
    expect(await newModel(other)).toMatchObject({ error: expect.stringContaining("in memory and in use") });
    clearInterval(heartbeat);
    expect(await newModel(await newSession())).toMatchObject({ type: "create_model" });
    expect((await post("get_info", { model_id })).status).toBe(404);
    await small.close();
  });

  it("load_weights comes first or not at all", async () => {
    const training = await create();
    const path = await training.saveState("own");
    await expect(training.loadState(path)).rejects.toThrow("first request");
    await training.unload();
  });
});

describe("checkpoints", () => {
  it("are listed, downloaded, deleted", async () => {
    const training = await create();
    const { path } = await training.saveWeightsForSampler("final");
    const archive = join(folder, "final.tar.gz");
    await client.rest.downloadArchive(path!, archive);
    const target = await mkdtemp(join(folder, "unpacked-"));
    const files = await unpackArchive(archive, target);
    expect(await verifyExport(target, files)).toBe("model");
    expect(files.map(({ name }) => name)).toContain("tokenizer.json");
    const list = `/api/v1/training_runs/${encodeURIComponent(training.modelId)}/checkpoints`;
    const listed = await raw("GET", list);
    expect(listed.json.checkpoints).toMatchObject([{ checkpoint_id: "sampler_weights/final", tinker_path: path }]);
    expect((await raw("DELETE", `${list}/sampler_weights/final`)).status).toBe(204);
    expect((await raw("GET", list)).json.checkpoints).toEqual([]);
    await training.unload();
  });

  it.each(["..", "../../escape", "a/b", ".hidden", ""])("cannot be called %j", async (name) => {
    const training = await create();
    const sent = await raw("POST", "/api/v1/save_weights", { model_id: training.modelId, seq_id: 1, path: name });
    if (sent.status === 200) {
      const failed = await raw("POST", "/api/v1/retrieve_future", { request_id: sent.json.request_id });
      expect(failed.json).toMatchObject({ category: "user" });
    } else expect(sent.status).toBe(400);
    const run = encodeURIComponent(training.modelId);
    const reached = await raw(
      "GET",
      `/api/v1/training_runs/${run}/checkpoints/weights/${encodeURIComponent(`../${name}`)}/archive`,
    );
    expect(reached.status).toBe(400);
    await training.unload();
  });

  it("links of archives cannot be made up", async () => {
    const made = new URLSearchParams({ path: "tinker://x/weights/y", expires: "99999999999999", signature: "0" });
    expect((await raw("GET", `/archives?${made}`)).status).toBe(403);
  });
});

describe("access", () => {
  it("needs the key", async () => {
    await expect(connect("tml-wrong")).rejects.toThrow(/401|API key|credential/i);
    expect((await raw("GET", "/v1/models", undefined, { authorization: "Bearer tml-wrong" })).status).toBe(401);
    expect((await raw("GET", "/v1/models", undefined, { authorization: "" })).status).toBe(401);
  });

  it("refuses a foreign Host, even with the key", async () => {
    const answer = await raw("GET", "/v1/models", undefined, { host: "evil.example" });
    expect(answer.status).toBe(421);
  });

  it.each([
    ["GET", "/v1/models/%zz", 400],
    ["GET", "//", 404],
    ["POST", "/api/v1/sessions/%zz/finish", 400],
    ["POST", "/api/v1/no_such_route", 404],
    ["GET", "/api/v1/training_runs/..%2f..%2fetc/checkpoints/weights/x/archive", 400],
  ])("answers %s %s with %d", async (method, path, status) => {
    expect((await raw(method, path, method === "POST" ? {} : undefined)).status).toBe(status);
  });

  it("limits the body", async () => {
    const small = await startServer({ model: join(folder, "tiny"), threads: 1, maxBodyBytes: 100 });
    const body = Buffer.from(JSON.stringify({ tags: ["x".repeat(200)] }));
    const answer = await fetch(`${small.url}/api/v1/create_session`, {
      method: "POST",
      headers: { "x-api-key": small.apiKey },
      body,
    });
    expect(answer.status).toBe(413);
    await answer.body?.cancel();
    await small.close();
  });
});
