import { afterEach, describe, expect, it } from "vitest";
import type { DialectName } from "../dialect/dialect.js";
import { tokenLosses } from "../dialect/token-losses.js";
import { DialectError, InvalidArgumentError, PrecedingRequestError, StaleSamplerError } from "../errors.js";
import type { ServiceClientOptions } from "../index.js";
import type { Datum } from "../protocol/training.js";
import { BigramModel } from "../testing/bigram-model.js";
import { datumOf, type Running, randomDatums, startPair } from "../testing/fixtures.js";
import type { TestServerOptions } from "../testing/test-server.js";

const running: Running[] = [];
afterEach(async () => {
  for (const pair of running.splice(0)) await pair.stop();
});

async function start(server: TestServerOptions = {}, options: ServiceClientOptions = {}) {
  const pair = await startPair(server, options);
  running.push(pair);
  const training = await pair.client.createTrainingClient({ baseModel: "bigram", loraRank: 8 });
  return { ...pair, training, model: () => pair.server.engine.model(training.modelId).model };
}

const DIALECTS: readonly DialectName[] = ["hosted", "skyrl-jax", "skyrl-train"];
/** Optimizer settings that every dialect can honour in these tests. */
const ADAM = { learningRate: 0.05, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.01, gradClipNorm: 0 };
const SERVER_OPTIMIZER = { serverOptimizer: { gradClipNorm: 0 } };

/** The gradient of the summed loss, computed here. */
function referenceGradient(
  data: readonly Datum[],
  lossFn: string,
  config?: Readonly<Record<string, number>>,
): Float64Array {
  const model = new BigramModel(8);
  for (const datum of data) model.pass(datum, lossFn, config, "sum");
  return model.gradient;
}

/** The gradient that the server's next step would apply. */
function appliedGradient(model: BigramModel, dialect: DialectName): Float64Array {
  return dialect === "skyrl-jax" ? model.gradient.map((value) => value / model.accumulatedDatums) : model.gradient;
}

function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance = 1e-5): void {
  expect(actual.length).toBe(expected.length);
  const worst = Math.max(...Array.from(expected, (value, i) => Math.abs(value - actual[i]!)));
  expect(worst).toBeLessThan(tolerance);
  expect(Math.max(...Array.from(expected, Math.abs))).toBeGreaterThan(1e-3);
}

describe.each(DIALECTS)("training on %s", (dialect) => {
  it("is detected", async () => {
    const { client } = await start({ dialect });
    expect(client.dialect.name).toBe(dialect);
  });

  it.each([
    ["cross_entropy", "weights", undefined],
    ["importance_sampling", "rl", undefined],
    ["ppo", "rl", undefined],
    ["ppo", "rl", { clip_low_threshold: 0.5, clip_high_threshold: 1.5 }],
    ["cispo", "rl", undefined],
    ["cispo", "rl", { clip_low_threshold: 0.5, clip_high_threshold: 2 }],
    ["dro", "rl", { beta: 0.3 }],
  ] as const)("%s has the gradient of its sum", async (lossFn, kind, lossFnConfig) => {
    const { training, model } = await start({ dialect });
    const data = randomDatums(5, 8, 3, kind);
    const output = await training.forwardBackward(data, lossFn, lossFnConfig === undefined ? {} : { lossFnConfig });
    expectClose(appliedGradient(model(), dialect), referenceGradient(data, lossFn, lossFnConfig));
    const logprobs = output.lossFnOutputs.map((fields) => fields.logprobs!.data);
    const loss = logprobs.flatMap((values, i) => [
      ...tokenLosses(lossFn, lossFnConfig, values, data[i]!.lossFnInputs).losses,
    ]);
    expect(output.metrics["loss:sum"]).toBeCloseTo(
      loss.reduce((total, value) => total + value, 0),
      5,
    );
  });

  it("gives a custom loss its exact gradient, with negative and unnormalised weights", async () => {
    const { training, model } = await start({ dialect });
    const data = randomDatums(4, 8, 5, "bare");
    // A loss that couples all datums: the square of the weighted sum of probabilities.
    const output = await training.forwardBackwardCustom(data, (logprobs) => {
      const total = logprobs
        .flatMap((values) => [...values])
        .reduce((sum, value, i) => sum + (i - 3) * Math.exp(value), 0);
      let i = 0;
      const gradients = logprobs.map((values) => values.map((value) => 2 * total * (i++ - 3) * Math.exp(value)));
      return { loss: total * total, gradients, metrics: { "total:mean": total } };
    });
    const reference = new BigramModel(8);
    const values = data.map(
      (datum) =>
        reference.pass(
          { ...datum, lossFnInputs: { ...datum.lossFnInputs, weights: zeros(datum) } },
          "cross_entropy",
          undefined,
        ).logprobs,
    );
    const total = values.flatMap((row) => [...row]).reduce((sum, value, i) => sum + (i - 3) * Math.exp(value), 0);
    let i = 0;
    const weighted = data.map((datum, d): Datum => {
      const weights = values[d]!.map((value) => -2 * total * (i++ - 3) * Math.exp(value));
      return { ...datum, lossFnInputs: { ...datum.lossFnInputs, weights: { data: weights, dtype: "float32" } } };
    });
    expectClose(appliedGradient(model(), dialect), referenceGradient(weighted, "cross_entropy"), 1e-4);
    expect(output.metrics["loss:sum"]).toBeCloseTo(total * total, 4);
    expect(output.metrics["total:mean"]).toBeCloseTo(total, 4);
  });

  it("adds the gradients of several calls of one step", async () => {
    const { training, model } = await start({ dialect }, SERVER_OPTIMIZER);
    const first = randomDatums(3, 8, 7, "rl");
    const second = randomDatums(2, 8, 8, "weights");
    const calls = [
      training.forwardBackward(first, "importance_sampling"),
      training.forwardBackward(second, "cross_entropy"),
    ];
    await Promise.all(calls);
    const reference = referenceGradient(first, "importance_sampling");
    referenceGradient(second, "cross_entropy").forEach((value, i) => {
      reference[i]! += value;
    });
    expectClose(appliedGradient(model(), dialect), reference);
  });

  it("trains: losses fall, requests keep their order without being awaited", async () => {
    const { server, training } = await start({ dialect }, SERVER_OPTIMIZER);
    const data = [datumOf([1, 2, 3, 4, 5, 6], { weights: [1, 1, 1, 1, 1] })];
    const outputs = [];
    server.requests.length = 0;
    for (let step = 0; step < 10; step++) {
      outputs.push(training.forwardBackward(data, "cross_entropy"));
      void training.optimStep(ADAM);
    }
    const losses = (await Promise.all(outputs)).map((output) => output.metrics["loss:sum"]!);
    await training.optimStep(ADAM).submitted;
    for (let step = 1; step < losses.length; step++) expect(losses[step]).toBeLessThan(losses[step - 1]!);
    const order = server.requests.filter((route) => /forward_backward|optim_step/.test(route));
    expect(order.slice(0, 6)).toEqual(
      Array.from({ length: 6 }, (_, i) => (i % 2 === 0 ? "POST forward_backward" : "POST optim_step")),
    );
  });

  it("saves and resumes: the same next step", async () => {
    const { client, training, server, model } = await start({ dialect }, SERVER_OPTIMIZER);
    const data = randomDatums(3, 8, 9, "rl");
    await training.forwardBackward(data, "importance_sampling");
    await training.optimStep(ADAM);
    const path = await training.saveState("step-1");
    expect(path).toBe(`tinker://${training.modelId}/weights/step-1`);
    const resumed = await client.createTrainingClientFromState(path);
    for (const one of [training, resumed]) {
      await one.forwardBackward(data, "importance_sampling");
      await one.optimStep(ADAM);
    }
    expect(server.engine.model(resumed.modelId).model.state).toEqual(model().state);
  });

  it("samples what was saved last, with logprobs that a forward pass confirms", async () => {
    const { training } = await start({ dialect }, SERVER_OPTIMIZER);
    await training.forwardBackward(randomDatums(3, 8, 9, "rl"), "importance_sampling");
    await training.optimStep(ADAM);
    const sampler = await training.saveWeightsAndGetSamplingClient();
    const { sequences } = await sampler.sample({
      prompt: [1, 2],
      numSamples: 3,
      samplingParams: { maxTokens: 5, seed: 11 },
    });
    expect(sequences).toHaveLength(3);
    for (const { tokens, logprobs } of sequences) {
      const full = [1, 2, ...tokens];
      const forward = await training.forward([datumOf(full, { weights: full.slice(1).map(() => 1) })]);
      const recomputed = [...forward.lossFnOutputs[0]!.logprobs!.data].slice(1);
      recomputed.forEach((value, i) => {
        expect(logprobs![i]).toBeCloseTo(value, 5);
      });
    }
    const scored = await sampler.computeLogprobs([1, 2, 3, 4]);
    expect(scored).toHaveLength(4);
    expect(scored[0]).toBeNull();
    const forward = await training.forward([datumOf([1, 2, 3, 4], { weights: [1, 1, 1] })]);
    expectClose(scored.slice(1) as number[], [...forward.lossFnOutputs[0]!.logprobs!.data]);
  });

  it("unloads a model and refuses to go on with it", async () => {
    const { training, server } = await start({ dialect });
    await training.unload();
    expect(server.engine.models.size).toBe(0);
    await expect(training.optimStep(dialect === "skyrl-train" ? { ...ADAM, gradClipNorm: 1 } : ADAM)).rejects.toThrow(
      /was unloaded/,
    );
  });
});

function zeros(datum: Datum) {
  return { data: new Float32Array(datum.lossFnInputs.target_tokens!.data.length), dtype: "float32" as const };
}

describe("what a dialect cannot do without changing the result is refused", () => {
  it("SkyRL-JAX: a stale sampler, after a step and after another save", async () => {
    const { training, model } = await start({ dialect: "skyrl-jax" });
    const data = randomDatums(2, 8, 1, "rl");
    const sampler = await training.saveWeightsAndGetSamplingClient();
    await sampler.sample({ prompt: [1], samplingParams: { maxTokens: 2 } });
    await training.forwardBackward(data, "importance_sampling");
    await training.optimStep({ learningRate: 0.1 });
    const trained = model().state.weights.slice();
    await expect(sampler.sample({ prompt: [1], samplingParams: { maxTokens: 2 } })).rejects.toThrow(StaleSamplerError);
    expect(model().state.weights).toEqual(trained);
    await training.saveWeightsForSampler("named");
    await training.saveWeightsForSampler("newer");
    const { client } = running[0]!;
    const stale = await client.createSamplingClient({
      modelPath: `tinker://${training.modelId}/sampler_weights/named`,
    });
    await expect(stale.sample({ prompt: [1], samplingParams: { maxTokens: 2 } })).rejects.toThrow(
      /overwrite the trained weights/,
    );
  });

  it("SkyRL-JAX: a step waits for the samples under way", async () => {
    const { server, training } = await start({ dialect: "skyrl-jax", latencyMs: 30 });
    const sampler = await training.saveWeightsAndGetSamplingClient();
    await training.forwardBackward(randomDatums(2, 8, 1, "rl"), "importance_sampling");
    let sampled = false;
    const samples = sampler.sample({ prompt: [1], samplingParams: { maxTokens: 2 } }).then(() => {
      sampled = true;
    });
    await training.optimStep({ learningRate: 0.1 }).submitted;
    expect(sampled).toBe(true);
    await samples;
    expect(server.requests.lastIndexOf("POST optim_step")).toBeGreaterThan(server.requests.lastIndexOf("POST asample"));
  });

  it("SkyRL-train: an older save samples other weights, an unstepped one does not matter", async () => {
    const { training } = await start({ dialect: "skyrl-train" }, SERVER_OPTIMIZER);
    const older = await training.saveWeightsAndGetSamplingClient();
    await training.forwardBackward(randomDatums(2, 8, 1, "rl"), "importance_sampling");
    await training.optimStep(ADAM);
    await older.sample({ prompt: [1], samplingParams: { maxTokens: 2 } });
    await training.saveWeightsAndGetSamplingClient();
    await expect(older.sample({ prompt: [1], samplingParams: { maxTokens: 2 } })).rejects.toThrow(/saved last/);
  });

  it("optimizer settings that the server would ignore", async () => {
    const jax = await start({ dialect: "skyrl-jax" });
    expect(() => jax.training.optimStep({ gradClipNorm: 1 })).toThrow(DialectError);
    const train = await start({ dialect: "skyrl-train" });
    expect(() => train.training.optimStep({ learningRate: 1e-3 })).toThrow(/takes only the learning rate/);
  });

  it("SkyRL-JAX: a second call of a step whose datum count was not announced", async () => {
    const { training, model } = await start({ dialect: "skyrl-jax" });
    const data = randomDatums(2, 8, 1, "rl");
    await training.forwardBackward(data, "importance_sampling");
    await expect(training.forwardBackward(data, "importance_sampling")).rejects.toThrow(/datumsInStep/);
    await training.optimStep();
    await training.forwardBackward(data, "importance_sampling", { datumsInStep: 4 });
    await expect(training.optimStep()).rejects.toThrow(/announced/);
    await training.forwardBackward(data, "importance_sampling", { datumsInStep: 4 });
    expect(model().accumulatedDatums).toBe(4);
    await training.optimStep();
  });

  it("SkyRL-JAX: gradients that a dead model left behind do not reach the next one", async () => {
    const { server, client, training } = await start({ dialect: "skyrl-jax" });
    await training.forwardBackward(randomDatums(2, 8, 1, "rl"), "importance_sampling");
    // Another client's model: unloaded by the server with its gradients pending.
    const id = training.modelId;
    server.engine.background("unload_model", { model_id: id }).run();
    const fresh = await client.createTrainingClient({ baseModel: "bigram", loraRank: 8 });
    const { model } = server.engine.model(fresh.modelId);
    expect(model.accumulatedDatums).toBe(0);
    expect(Math.max(...model.gradient)).toBe(0);
    expect(model.state.steps).toBe(0);
  });
});

describe("several requests of one call", () => {
  it("cuts large data, keeps the order and merges the metrics", async () => {
    const { server, training, model } = await start({ config: { fwdbwd_max_chunk_len: 4 } });
    const data = randomDatums(10, 8, 2, "rl");
    server.requests.length = 0;
    const output = await training.forwardBackward(data, "importance_sampling");
    expect(server.requests.filter((route) => route === "POST forward_backward")).toHaveLength(3);
    output.lossFnOutputs.forEach((fields, i) => {
      expect(fields.logprobs!.data).toHaveLength(data[i]!.lossFnInputs.target_tokens!.data.length);
    });
    const whole = new BigramModel(8);
    const total = data.reduce(
      (sum, datum) =>
        sum + whole.pass(datum, "importance_sampling", undefined, "sum").losses.reduce((a, b) => a + b, 0),
      0,
    );
    expect(output.metrics["loss:sum"]).toBeCloseTo(total, 4);
    expectClose(model().gradient, whole.gradient);
    await training.optimStep();
  });

  it("JSON and protobuf give the same result", async () => {
    const results = [];
    for (const codec of ["json", "protobuf"] as const) {
      const { training } = await start({}, { codec });
      results.push(await training.forwardBackward(randomDatums(3, 8, 2, "rl"), "ppo"));
    }
    const [json, protobuf] = results;
    expect(protobuf!.metrics["loss:sum"]).toBeCloseTo(json!.metrics["loss:sum"]!, 6);
    expect(protobuf!.lossFnOutputs).toEqual(json!.lossFnOutputs);
  });
});

describe("queue", () => {
  it("does not send what was queued behind a refused request", async () => {
    const { server, training } = await start();
    const steps = server.engine.stepsApplied;
    const bad = training.forwardBackward(randomDatums(1, 8, 1, "weights"), "no_such_loss");
    const step = training.optimStep({ learningRate: 0.1 });
    await expect(bad).rejects.toThrow(/no_such_loss/);
    // The loss was accepted and failed at the server; the step had been sent already.
    await step.catch(() => undefined);
    const aborted = new AbortController();
    aborted.abort(new Error("changed my mind"));
    const never = training.forwardBackward(randomDatums(1, 8, 1, "weights"), "cross_entropy", {
      signal: aborted.signal,
    });
    const dependent = training.optimStep({ learningRate: 0.1 });
    await expect(never).rejects.toThrow("changed my mind");
    await expect(dependent).rejects.toThrow(PrecedingRequestError);
    // The caller has seen the failure; what is asked for from now on is meant.
    await training.forwardBackward(randomDatums(1, 8, 1, "weights"), "cross_entropy");
    await training.optimStep({ learningRate: 0.1 });
    expect(server.engine.stepsApplied).toBe(steps + 2);
  });

  it("aborting gives up waiting, not the order", async () => {
    const { training } = await start({ latencyMs: 100 });
    const controller = new AbortController();
    const waiting = training.forwardBackward(randomDatums(1, 8, 1, "weights"), "cross_entropy", {
      signal: controller.signal,
    });
    await waiting.submitted;
    controller.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
    await training.optimStep();
  });

  it.each([
    ["no datum", [], /at least one datum/],
    ["lengths that differ", [datumOf([1, 2, 3], { weights: [1] })], /"weights" has 1 values for 2 targets/],
    ["a number that is none", [datumOf([1, 2], { weights: [Number.NaN] })], /finite/],
    ["an unknown input", [datumOf([1, 2], { weights: [1], mask: [1] })], /fold a mask/],
    ["a missing input", [datumOf([1, 2], {})], /needs the input "weights"/],
  ] as const)("refuses %s before anything is sent", async (_, data, message) => {
    const { server, training } = await start();
    server.requests.length = 0;
    expect(() => training.forwardBackward(data, "cross_entropy")).toThrow(InvalidArgumentError);
    expect(() => training.forwardBackward(data, "cross_entropy")).toThrow(message);
    expect(server.requests.filter((route) => route.includes("forward"))).toEqual([]);
  });
});
