import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterEach, describe, expect, it } from "vitest";
import { AuthenticationError, InvalidArgumentError, NotFoundError } from "../errors.js";
import { ServiceClient, type ServiceClientOptions } from "../index.js";
import { FAST_RETRY, type Running, randomDatums, startPair } from "../testing/fixtures.js";
import { TestServer, type TestServerOptions } from "../testing/test-server.js";

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function start(server: TestServerOptions = {}, options: ServiceClientOptions = {}): Promise<Running> {
  const pair = await startPair(server, options);
  cleanups.push(pair.stop);
  return pair;
}

async function until(condition: () => boolean, limitMs = 10_000): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!condition() && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(condition()).toBe(true);
}

/** Keeps this thread busy, as grading or tokenising would. */
function block(milliseconds: number): void {
  const end = performance.now() + milliseconds;
  while (performance.now() < end) Math.sqrt(end);
}

describe("session", () => {
  it("starts as the official client does, and passes the server's notices on", async () => {
    const notices: string[] = [];
    const { server, client } = await start({}, { onNotice: (level, message) => notices.push(`${level}: ${message}`) });
    const order = ["POST client/config", "POST client/dynamic_config", "POST create_session"];
    expect(server.requests.filter((route) => order.includes(route))).toEqual(order);
    expect(notices).toEqual(["info: welcome"]);
    expect((await client.getCapabilities()).supportedModels).toEqual([{ name: "bigram", maxContextLength: 4096 }]);
    expect(await client.health()).toBe("ok");
  });

  it("keeps its heartbeat while the main thread is busy", async () => {
    // The server shares this thread, so what counts is what the worker sent: a server in a thread of its own would see it.
    const { Worker } = await import("node:worker_threads");
    const counter = new Worker(
      `const { parentPort } = require("node:worker_threads"); let beats = 0;
       const server = require("node:http").createServer((request, response) => {
         request.resume().on("end", () => {
           if (request.url.endsWith("session_heartbeat")) beats++;
           response.end(JSON.stringify(request.url.endsWith("create_session") ? { session_id: "s" } : {}));
         });
       }).listen(0, "127.0.0.1", () => parentPort.postMessage(server.address().port));
       parentPort.on("message", () => parentPort.postMessage(beats));`,
      { eval: true },
    );
    const next = () => new Promise<number>((resolve) => counter.once("message", resolve));
    const port = await next();
    const client = await ServiceClient.connect({
      baseUrl: `http://127.0.0.1:${port}`,
      dialect: "hosted",
      heartbeatIntervalMs: 20,
      retry: FAST_RETRY,
      env: {},
    });
    await until(() => client.heartbeats.count > 0);
    const before = client.heartbeats.count;
    block(600);
    // No await since: the main thread has had no chance to do anything for the heartbeat.
    expect(client.heartbeats.count).toBeGreaterThan(before + 4);
    await client.close();
    counter.postMessage("count");
    expect(await next()).toBeGreaterThan(5);
    await counter.terminate();
  });

  it("tells at once when the server no longer knows it", async () => {
    const notices: string[] = [];
    const { server, client } = await start(
      {},
      { heartbeatIntervalMs: 20, onNotice: (level, message) => notices.push(`${level}: ${message}`) },
    );
    await until(() => client.heartbeats.count > 0);
    await server.restart("everything");
    await until(() => notices.some((notice) => /warning: no heartbeat .*status 404/.test(notice)));
  });

  it("stops everything on close and on the caller's signal", async () => {
    const controller = new AbortController();
    const { server, client } = await start({}, { heartbeatIntervalMs: 20, signal: controller.signal });
    await until(() => client.heartbeats.count > 0);
    controller.abort(new Error("done"));
    await expect(client.getCapabilities()).rejects.toThrow();
    await new Promise((resolve) => setTimeout(resolve, 50));
    const silent = server.requests.length;
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(server.requests.length).toBe(silent);
  });
});

describe("credentials", () => {
  it("a wrong key is told at once and never shown", async () => {
    const server = await new TestServer({ apiKey: "tml-right" }).start();
    cleanups.push(() => server.stop());
    const attempt = ServiceClient.connect({
      baseUrl: server.url,
      apiKey: "tml-secret-wrong",
      retry: FAST_RETRY,
      env: {},
    });
    await expect(attempt).rejects.toThrow(AuthenticationError);
    await attempt.catch((error: Error) => expect(error.message).not.toContain("secret"));
    expect(server.requests).toHaveLength(1);
  });

  it("a key is exchanged for a token where the server wants it, for heartbeats too", async () => {
    const { server, client } = await start(
      { apiKey: "tml-test", config: { pjwt_auth_enabled: true } },
      { heartbeatIntervalMs: 20 },
    );
    const training = await client.createTrainingClient({ baseModel: "bigram" });
    await training.optimStep();
    await until(() => client.heartbeats.count > 1);
    // One for the client, one for the heartbeat's thread.
    expect(server.requests.filter((route) => route === "POST auth/token").length).toBeLessThanOrEqual(2);
  });

  it("come from a command or the environment; the hosted service needs one", async () => {
    const server = await new TestServer({ apiKey: "tml-from-command" }).start();
    cleanups.push(() => server.stop());
    const client = await ServiceClient.connect({
      baseUrl: server.url,
      retry: FAST_RETRY,
      env: { TINKER_CREDENTIAL_CMD: "echo tml-from-command" },
    });
    await client.close();
    await expect(ServiceClient.connect({ env: {} })).rejects.toThrow(/TINKER_API_KEY/);
    await expect(ServiceClient.connect({ baseUrl: "localhost:8000", env: {} })).rejects.toThrow(InvalidArgumentError);
  });
});

describe("listings and checkpoints", () => {
  it.each(["hosted", "skyrl-jax"] as const)("on %s: list, download, delete", async (dialect) => {
    const { client } = await start({ dialect });
    const training = await client.createTrainingClient({ baseModel: "bigram", loraRank: 4 });
    const state = await training.saveState("a");
    const sampler = await training.saveWeightsForSampler("b");
    expect(sampler.path).toBe(`tinker://${training.modelId}/sampler_weights/b`);
    expect((await client.rest.listTrainingRuns()).items.map((run) => run.training_run_id)).toContain(training.modelId);
    expect((await client.rest.getTrainingRun(training.modelId)).lora_rank).toBe(4);
    expect((await client.rest.weightsInfo(state)).base_model).toBe("bigram");
    const listed = await client.rest.listCheckpoints(training.modelId);
    expect(listed.items.map((item) => item.tinker_path).sort()).toEqual([sampler.path, state].sort());
    const folder = await mkdtemp(join(tmpdir(), "tinker-test-"));
    cleanups.push(() => rm(folder, { recursive: true }));
    const archive = await client.rest.downloadArchive(sampler.path!, join(folder, "weights.tar.gz"));
    expect(gunzipSync(await readFile(archive.path)).toString()).toMatch(/\/b[./]/);
    expect(await readdir(folder)).toEqual(["weights.tar.gz"]);
    await client.rest.deleteCheckpoint(state);
    expect((await client.rest.listCheckpoints(training.modelId)).items).toHaveLength(1);
    await expect(client.rest.deleteCheckpoint(state)).rejects.toThrow(NotFoundError);
  });

  it("the key does not travel to the storage server", async () => {
    const keys: unknown[] = [];
    const storage = createServer((request, response) => {
      keys.push(request.headers["x-api-key"]);
      response.end("archive");
    });
    await new Promise<void>((resolve) => storage.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => new Promise((resolve) => storage.close(() => resolve())));
    const { client, server } = await start();
    const training = await client.createTrainingClient({ baseModel: "bigram" });
    const { path } = await training.saveWeightsForSampler("b");
    const listing = server.engine.immediate.bind(server.engine);
    server.engine.immediate = (method, route, json) =>
      route.endsWith("/archive")
        ? { location: `http://127.0.0.1:${(storage.address() as AddressInfo).port}/x` }
        : listing(method, route, json);
    const folder = await mkdtemp(join(tmpdir(), "tinker-test-"));
    cleanups.push(() => rm(folder, { recursive: true }));
    await client.rest.downloadArchive(path!, join(folder, "x"));
    expect(keys).toEqual([undefined]);
  });

  it("a name that is used is a conflict, one that is malformed is not sent", async () => {
    const { client, server } = await start();
    const training = await client.createTrainingClient({ baseModel: "bigram" });
    await training.saveState("a");
    const twice = training.saveState("a");
    await expect(twice).rejects.toThrow(/exists already: choose another name|already exists/);
    server.requests.length = 0;
    await expect(training.saveState("a/b")).rejects.toThrow(InvalidArgumentError);
    expect(server.requests.filter((route) => route.includes("save"))).toEqual([]);
  });
});

describe("sampling", () => {
  it("hundreds of requests at once, each result with its own request", async () => {
    let release = (): void => undefined;
    const hold = new Promise<void>((resolve) => {
      release = resolve;
    });
    // The ordinary time limits: the point is how many wait at once, not how fast they are answered.
    const retry = { pollTimeoutMs: 45_000, requestTimeoutMs: 60_000, submissionTimeoutMs: 60_000 };
    const { client, server } = await start({ hold: () => hold, pollMs: 60_000 }, { retry });
    const sampler = await client.createSamplingClient({ baseModel: "bigram" });
    const calls = Array.from({ length: 250 }, (_, i) =>
      sampler.sample({ prompt: [i % 8], samplingParams: { maxTokens: 3, seed: i } }),
    );
    // No result is given out before all of them are waited for.
    await until(() => server.active === 250, 50_000);
    release();
    const all = await Promise.all(calls);
    for (const i of [0, 77, 249]) {
      const alone = await sampler.sample({ prompt: [i % 8], samplingParams: { maxTokens: 3, seed: i } });
      expect([...alone.sequences[0]!.tokens]).toEqual([...all[i]!.sequences[0]!.tokens]);
    }
    const ids = new Set(all.map((response) => response.sequences[0]!.sequenceId));
    expect(ids.size).toBe(250);
  });

  it("no more requests at once than the server allows", async () => {
    const { client, server } = await start({ latencyMs: 5, config: { sample_max_concurrent_requests: 3 } });
    const sampler = await client.createSamplingClient({ baseModel: "bigram" });
    server.maxActive = 0;
    await Promise.all(
      Array.from({ length: 12 }, (_, seed) => sampler.sample({ prompt: [1], samplingParams: { maxTokens: 1, seed } })),
    );
    expect(server.maxActive).toBeLessThanOrEqual(4);
  });

  it("large results are announced by their size first", async () => {
    const { client, server } = await start({ inlineBytes: 10 });
    const sampler = await client.createSamplingClient({ baseModel: "bigram" });
    server.requests.length = 0;
    await sampler.sample({ prompt: [1], samplingParams: { maxTokens: 8, seed: 1 } });
    expect(server.requests.filter((route) => route === "POST retrieve_future")).toHaveLength(2);
  });

  it("an aborted call ends, the others go on", async () => {
    const { client } = await start({ latencyMs: 100 });
    const sampler = await client.createSamplingClient({ baseModel: "bigram" });
    const controller = new AbortController();
    const aborted = sampler.sample({ prompt: [1], samplingParams: { maxTokens: 1 }, signal: controller.signal });
    const other = sampler.sample({ prompt: [1], samplingParams: { maxTokens: 1 } });
    controller.abort(new Error("enough"));
    await expect(aborted).rejects.toThrow("enough");
    expect((await other).sequences).toHaveLength(1);
  });

  it.each([
    [{ maxTokens: 0 }, /maxTokens is 0/],
    [{ maxTokens: 1, topP: 0 }, /topP is 0/],
    [{ maxTokens: 1, temperature: -1 }, /temperature is -1/],
    [{ maxTokens: 1, topK: 0 }, /topK is 0/],
  ])("refuses %j", async (samplingParams, message) => {
    const { client } = await start();
    const sampler = await client.createSamplingClient({ baseModel: "bigram" });
    await expect(sampler.sample({ prompt: [1], samplingParams })).rejects.toThrow(message);
    await expect(sampler.sample({ prompt: [], samplingParams: { maxTokens: 1 } })).rejects.toThrow(/prompt is empty/);
  });
});

it("a result that takes long is polled for, and the queue's state passed on", async () => {
  let told = (): void => undefined;
  const wasTold = new Promise<void>((resolve) => {
    told = resolve;
  });
  const { client } = await start(
    { pollMs: 10, hold: () => wasTold },
    {
      onQueueState: ({ state, requestType }) =>
        state === "active" && requestType === "CreateModel" ? told() : undefined,
    },
  );
  // Comes to an end only if the state of the queue was passed on.
  const training = await client.createTrainingClient({ baseModel: "bigram" });
  await training.forwardBackward(randomDatums(1, 8, 1, "rl"), "importance_sampling");
});
