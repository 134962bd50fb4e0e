import { afterEach, describe, expect, it } from "vitest";
import type { DialectName } from "../dialect/dialect.js";
import { ServiceClient, type ServiceClientOptions, UnconfirmedRequestError } from "../index.js";
import { type Fault, FaultProxy } from "./fault-proxy.js";
import { FAST_RETRY, randomDatums } from "./fixtures.js";
import { TestServer, type TestServerOptions } from "./test-server.js";

/** A training run through a proxy that breaks things; whatever it breaks, the run must end as if nothing had happened. */

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

type Choose = (route: string, occurrence: number) => Fault | undefined;

async function through(choose: Choose, serverOptions: TestServerOptions = {}, options: ServiceClientOptions = {}) {
  const server = await new TestServer({ pollMs: 100, ...serverOptions }).start();
  cleanups.push(() => server.stop());
  const proxy = await new FaultProxy(() => server.url, choose).start();
  cleanups.push(() => proxy.stop());
  const client = await ServiceClient.connect({
    baseUrl: proxy.url,
    apiKey: "tml-test",
    retry: FAST_RETRY,
    env: {},
    ...options,
  });
  cleanups.push(() => client.close());
  return { server, proxy, client };
}

const STEPS = 3;
const ADAM = { learningRate: 0.1, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.01, gradClipNorm: 0 };
const SERVER_OPTIMIZER = { serverOptimizer: { gradClipNorm: 0 } };

/** Trains, saves, samples; gives the final weights and all logprobs that the server reported. */
async function run(client: ServiceClient, server: TestServer) {
  const before = server.engine.stepsApplied;
  const training = await client.createTrainingClient({ baseModel: "bigram", loraRank: 8 });
  const scouted = server.engine.stepsApplied - before;
  const logprobs: number[] = [];
  for (let step = 0; step < STEPS; step++) {
    const result = training.forwardBackward(randomDatums(3, 8, step, "rl"), "importance_sampling");
    const stepped = training.optimStep(ADAM);
    for (const output of (await result).lossFnOutputs) logprobs.push(...output.logprobs!.data);
    await stepped;
  }
  const path = await training.saveState("final");
  const sampler = await training.saveWeightsAndGetSamplingClient();
  const samples = await Promise.all(
    [1, 2, 3].map((seed) => sampler.sample({ prompt: [seed], samplingParams: { maxTokens: 4, seed } })),
  );
  return {
    training,
    path,
    logprobs,
    tokens: samples.map((sample) => [...sample.sequences[0]!.tokens]),
    weights: server.engine.model(training.modelId).model.state.weights.slice(),
    steps: server.engine.stepsApplied - before - scouted,
  };
}

type Outcome = Awaited<ReturnType<typeof run>>;
const outcomes = new Map<string, Promise<Outcome>>();

/** What the run gives without faults. */
function undisturbed(serverOptions: TestServerOptions = {}, options: ServiceClientOptions = {}): Promise<Outcome> {
  const key = JSON.stringify(serverOptions);
  const known =
    outcomes.get(key) ??
    through(() => undefined, serverOptions, options).then(({ server, client }) => run(client, server));
  outcomes.set(key, known);
  return known;
}

const ROUTES = [
  "create_model",
  "forward_backward",
  "optim_step",
  "save_weights",
  "save_weights_for_sampler",
  "asample",
  "retrieve_future",
  "create_session",
];

const FAULTS: readonly (readonly [string, Fault])[] = [
  ["the connection drops before the server acts", { kind: "drop-before" }],
  ["the connection drops after the server acted", { kind: "drop-after" }],
  ["the answer is cut off", { kind: "truncate" }],
  ["half an answer looks like a whole one", { kind: "truncate-silently" }],
  ["the request is delivered twice", { kind: "duplicate" }],
  ["408 before the server acts", { kind: "status", status: 408 }],
  ["408 after the server acted", { kind: "status", status: 408, after: true }],
  ["409 before the server acts", { kind: "status", status: 409 }],
  ["429", { kind: "status", status: 429 }],
  ["429 with a time to wait", { kind: "status", status: 429, headers: { "retry-after-ms": "10" } }],
  ["500 after the server acted", { kind: "status", status: 500, after: true }],
  ["502 after the server acted", { kind: "status", status: 502, after: true, body: "<html>bad gateway</html>" }],
  ["503", { kind: "status", status: 503 }],
  ["a bare 400 of a proxy", { kind: "status", status: 400, body: "" }],
  ["a slow answer", { kind: "slow", delayMs: 150 }],
];

describe("a server that recognises repetitions", () => {
  it.each(FAULTS)("%s: nothing is applied twice, nothing is lost", async (_, fault) => {
    const expected = await undisturbed();
    // Every first and fourth request of each route goes wrong; 409 only where the protocol lets it pass.
    const conflict = fault.kind === "status" && fault.status === 409;
    const routes = conflict ? ["forward_backward", "optim_step", "create_model", "asample"] : ROUTES;
    const { server, proxy, client } = await through((route, n) =>
      routes.includes(route) && n % 3 === 0 ? fault : undefined,
    );
    const actual = await run(client, server);
    expect(proxy.log.length).toBeGreaterThan(5);
    expect(actual.steps).toBe(STEPS);
    expect(actual.weights).toEqual(expected.weights);
    expect(actual.logprobs).toEqual(expected.logprobs);
    expect(actual.tokens).toEqual(expected.tokens);
  });

  it("random faults on every route", async () => {
    const expected = await undisturbed();
    let state = 12345;
    const random = (): number => {
      state = (state * 1103515245 + 12345) % 2 ** 31;
      return state / 2 ** 31;
    };
    const harmless = FAULTS.filter(([name]) => !name.startsWith("409"));
    const { server, proxy, client } = await through(() =>
      random() < 0.3 ? harmless[Math.floor(random() * harmless.length)]![1] : undefined,
    );
    const actual = await run(client, server);
    expect(proxy.log.length).toBeGreaterThan(5);
    expect(actual.steps).toBe(STEPS);
    expect(actual.weights).toEqual(expected.weights);
    expect(actual.tokens).toEqual(expected.tokens);
  });

  it("a server that never answers a submission in time is asked again", async () => {
    const expected = await undisturbed();
    const retry = { ...FAST_RETRY, requestTimeoutMs: 100 };
    const { server, client } = await through(
      (route, n) => (route === "optim_step" && n === 0 ? { kind: "hang", after: true } : undefined),
      {},
      { retry },
    );
    const actual = await run(client, server);
    expect(actual.steps).toBe(STEPS);
    expect(actual.weights).toEqual(expected.weights);
  });

  it("a restart that loses promises: the same request is posted again, and acted on once", async () => {
    const expected = await undisturbed();
    let restarted = false;
    const { server, client } = await through((route, n) => {
      if (route !== "optim_step" || n !== 1 || restarted) return undefined;
      restarted = true;
      return { kind: "then", run: () => server.restart("promises", 50) };
    });
    const actual = await run(client, server);
    expect(restarted).toBe(true);
    expect(actual.steps).toBe(STEPS);
    expect(actual.weights).toEqual(expected.weights);
  });

  it("a restart that loses everything is a clear error, not a hang", async () => {
    const { server, client } = await through(() => undefined);
    const training = await client.createTrainingClient({ baseModel: "bigram" });
    await training.forwardBackward(randomDatums(1, 8, 1, "rl"), "importance_sampling");
    await server.restart("everything", 50);
    await expect(training.optimStep(ADAM)).rejects.toThrow(/optim_step answered 404.*not found/);
    expect(server.engine.stepsApplied).toBe(0);
  });
});

describe.each(["skyrl-jax", "skyrl-train"] as const)("%s", (dialect: DialectName) => {
  const server = { dialect, idempotent: true };
  it.each(FAULTS.filter(([name]) => !name.startsWith("409")))("with idempotency, %s", async (_, fault) => {
    const expected = await undisturbed(server, SERVER_OPTIMIZER);
    const { server: real, client } = await through(
      (route, n) => (ROUTES.includes(route) && n % 3 === 0 ? fault : undefined),
      server,
      SERVER_OPTIMIZER,
    );
    const actual = await run(client, real);
    expect(actual.steps).toBe(STEPS);
    expect(actual.weights).toEqual(expected.weights);
  });
});

describe("a server that does not recognise repetitions (SkyRL 0.3.0)", () => {
  const server = { dialect: "skyrl-jax", idempotent: false } as const;
  const harmless = (fault: Fault): boolean =>
    fault.kind === "slow" ||
    (fault.kind === "status" && fault.after !== true && [429, 503, 400].includes(fault.status));

  it.each(FAULTS.filter(([, fault]) => harmless(fault)))("%s: surely not acted on, so repeated", async (_, fault) => {
    const expected = await undisturbed(server);
    const { server: real, client } = await through(
      (route, n) => (["forward_backward", "optim_step"].includes(route) && n === 1 ? fault : undefined),
      server,
    );
    const actual = await run(client, real);
    expect(actual.steps).toBe(STEPS);
    expect(actual.weights).toEqual(expected.weights);
  });

  // A connection cut before the server acts cannot be told from one cut after.
  const open = FAULTS.filter(
    ([name, fault]) => !harmless(fault) && fault.kind !== "duplicate" && !name.startsWith("409"),
  );
  it.each(open)("%s: the step is not repeated, the run stops with an explanation", async (_, fault) => {
    let steps = 0;
    const { server: real, client } = await through(
      (route) => (route === "optim_step" && ++steps === 2 ? fault : undefined),
      server,
    );
    const training = await client.createTrainingClient({ baseModel: "bigram" });
    await training.forwardBackward(randomDatums(2, 8, 1, "rl"), "importance_sampling");
    const before = real.engine.stepsApplied;
    const step = training.optimStep(ADAM);
    const queued = training.saveState("after");
    await expect(step).rejects.toThrow(UnconfirmedRequestError);
    await expect(step).rejects.toThrow(/last saved checkpoint/);
    await expect(queued).rejects.toThrow();
    expect(real.engine.stepsApplied - before).toBeLessThanOrEqual(1);
    const next = training.forwardBackward(randomDatums(2, 8, 1, "rl"), "importance_sampling");
    await expect(next).rejects.toThrow(UnconfirmedRequestError);
  });

  it("409 is final", async () => {
    const conflict: Fault = { kind: "status", status: 409 };
    const { client } = await through((route) => (route === "forward_backward" ? conflict : undefined), server);
    const training = await client.createTrainingClient({ baseModel: "bigram" });
    await expect(training.forwardBackward(randomDatums(1, 8, 1, "rl"), "ppo")).rejects.toThrow(/answered 409/);
  });
});

describe("deadlines", () => {
  it("a server that is gone: an error after the submission budget", async () => {
    const retry = { ...FAST_RETRY, submissionTimeoutMs: 400 };
    const { server, client } = await through(() => undefined, {}, { retry });
    const training = await client.createTrainingClient({ baseModel: "bigram" });
    await server.stop();
    const started = performance.now();
    await expect(training.optimStep()).rejects.toThrow(/not accepted within 0 s|not accepted within/);
    expect(performance.now() - started).toBeLessThan(2_000);
  });

  it("a result that never comes: an error after its time limit", async () => {
    const { client } = await through((route) => (route === "retrieve_future" ? { kind: "hang" } : undefined));
    const started = performance.now();
    await expect(client.createTrainingClient({ baseModel: "bigram", timeoutMs: 700 })).rejects.toThrow(
      /CreateModel.*did not come within 700 ms/,
    );
    expect(performance.now() - started).toBeLessThan(2_000);
  });

  it("a server that vanishes while a result is awaited: an error after the unreachable limit", async () => {
    const { server, client } = await through(
      () => undefined,
      { latencyMs: 60_000 },
      { retry: { ...FAST_RETRY, unreachableTimeoutMs: 300 } },
    );
    const creating = client.createTrainingClient({ baseModel: "bigram" });
    setTimeout(() => void server.stop(), 200);
    await expect(creating).rejects.toThrow(/no answer from the server/);
  });

  it("closing the client ends everything under way", async () => {
    const { client } = await through(() => undefined, { latencyMs: 60_000 });
    const creating = client.createTrainingClient({ baseModel: "bigram" });
    setTimeout(() => void client.close(), 100);
    await expect(creating).rejects.toThrow(/closed/);
  });

  it.each([
    [401, /401.*API key/],
    [402, /402/],
    [422, /422/],
  ])("status %d is final and says where", async (status, message) => {
    const { client, proxy } = await through((route) =>
      route === "create_model" ? { kind: "status", status } : undefined,
    );
    await expect(client.createTrainingClient({ baseModel: "bigram" })).rejects.toThrow(message);
    expect(proxy.log).toHaveLength(1);
  });
});
