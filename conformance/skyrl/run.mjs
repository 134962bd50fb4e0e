/**
 * Our Tinker client against a real SkyRL server with the JAX backend on CPU: create, train, sample, save, load, unload,
 * and gradients equal to PyTorch's. Prints one line a check; exits with 1 if any fails.
 *
 *   npm run build && node conformance/skyrl/run.mjs
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  float32Tensor,
  int64Tensor,
  ServiceClient,
  StaleSamplerError,
  textInput,
} from "../../packages/tinker/dist/index.js";
import { runPython, setUp, startSkyrl } from "./server.mjs";

const GAMMA = 0.1;
let failures = 0;
function check(name, passed, detail = "") {
  if (!passed) failures++;
  console.log(`${passed ? "ok  " : "FAIL"} ${name}${detail === "" ? "" : `: ${detail}`}`);
}
const worstDifference = (a, b) => Math.max(...a.map((value, i) => Math.abs(value - b[i])));
const relative = (a, b) => Math.abs(a - b) / Math.abs(b);

let state = 42;
const random = () => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32;
};

/** Datums of different lengths, with inputs of the named kinds. */
function makeDatums(count, names) {
  return Array.from({ length: count }, (_, i) => {
    const tokens = Array.from({ length: 6 + 3 * i }, () => 2 + Math.floor(random() * 120));
    const inputs = {};
    for (const name of names)
      inputs[name] = tokens.slice(1).map(() => (name === "logprobs" ? -4 - random() : random() * 2 - 1));
    return { tokens, inputs };
  });
}
function toDatum({ tokens, inputs }, bare = false) {
  const tensors = bare ? [] : Object.entries(inputs).map(([name, values]) => [name, float32Tensor(values)]);
  return {
    modelInput: textInput(tokens.slice(0, -1)),
    lossFnInputs: { target_tokens: int64Tensor(tokens.slice(1)), ...Object.fromEntries(tensors) },
  };
}

/** Critique-GRPO's shaped loss on refinement tokens: -A·p/(p+γ), with its derivative by the logprob. */
function shapedLoss(datums) {
  return (logprobs) => {
    let loss = 0;
    const gradients = logprobs.map((values, i) =>
      values.map((lp, t) => {
        const p = Math.exp(lp);
        const advantage = datums[i].inputs.advantages[t];
        loss -= (advantage * p) / (p + GAMMA);
        return (-advantage * GAMMA * p) / (p + GAMMA) ** 2;
      }),
    );
    return { loss, gradients };
  };
}

setUp();
const server = await startSkyrl();
console.log(`SkyRL (JAX, CPU) at ${server.url}`);
try {
  const client = await ServiceClient.connect({
    baseUrl: server.url,
    apiKey: "tml-dummy",
    onNotice: (level, text) => console.log(`${level}: ${text}`),
  });
  const capabilities = await client.getCapabilities();
  check("capabilities list the model", capabilities.supportedModels[0].name === server.modelDirectory);
  const training = await client.createTrainingClient({ baseModel: server.modelDirectory, loraRank: 8, seed: 3 });
  check(
    "dialect is detected",
    client.dialect.name === "skyrl-jax",
    `${client.dialect.name}, repetitions ${client.dialect.repeatsAreSafe ? "recognised" : "not recognised"}`,
  );
  check("get_info", (await training.getInfo()).loraRank === 8);

  // Supervised training: losses must fall, with requests queued ahead.
  const memorise = makeDatums(3, ["weights"]);
  for (const datum of memorise) datum.inputs.weights.fill(1);
  const passes = [];
  for (let step = 0; step < 8; step++) {
    passes.push(
      training.forwardBackward(
        memorise.map((datum) => toDatum(datum)),
        "cross_entropy",
      ),
    );
    void training.optimStep({ learningRate: 0.01 });
  }
  const losses = (await Promise.all(passes)).map((output) => output.metrics["loss:sum"]);
  check(
    "losses fall",
    losses.every((loss, i) => i === 0 || loss < losses[i - 1]),
    losses.map((loss) => loss.toFixed(3)).join(" "),
  );

  // Gradients: norms at learning rate 0 for every loss, then every element of a custom loss's gradient.
  const saved = await training.saveWeightsForSampler("before");
  const cases = [
    { name: "cross_entropy, signed weights", lossFn: "cross_entropy", datums: makeDatums(3, ["weights"]) },
    { name: "importance_sampling", lossFn: "importance_sampling", datums: makeDatums(4, ["logprobs", "advantages"]) },
    {
      name: "ppo",
      lossFn: "ppo",
      config: { clip_low_threshold: 0.5, clip_high_threshold: 1.5 },
      datums: makeDatums(4, ["logprobs", "advantages"]),
    },
    {
      name: "cispo",
      lossFn: "cispo",
      config: { clip_low_threshold: 0.5, clip_high_threshold: 1.5 },
      datums: makeDatums(4, ["logprobs", "advantages"]),
    },
    {
      name: "dro (run by the client)",
      lossFn: "dro",
      config: { beta: 0.3 },
      datums: makeDatums(2, ["logprobs", "advantages"]),
    },
    {
      name: "importance_sampling in two calls",
      lossFn: "importance_sampling",
      split: 1,
      datums: makeDatums(4, ["logprobs", "advantages"]),
    },
    { name: "custom: shaped refinement loss", lossFn: "shaped", datums: makeDatums(5, ["advantages"]) },
  ];
  const measured = [];
  for (const one of cases) {
    const config = one.config === undefined ? {} : { lossFnConfig: one.config };
    const data = one.datums.map((datum) => toDatum(datum, one.lossFn === "shaped"));
    const groups = one.split === undefined ? [data] : [data.slice(0, one.split), data.slice(one.split)];
    const outputs = await Promise.all(
      groups.map((group) =>
        one.lossFn === "shaped"
          ? training.forwardBackwardCustom(group, shapedLoss(one.datums))
          : training.forwardBackward(group, one.lossFn, config),
      ),
    );
    const last = one === cases.at(-1);
    // Both betas 0 and a large eps: the weights move by almost exactly the gradient, which the archive then shows.
    const step = await training.optimStep(
      last ? { learningRate: 100, beta1: 0, beta2: 0, eps: 100 } : { learningRate: 0 },
    );
    measured.push({
      norm: step.metrics["skyrl.ai/grad_norm"],
      loss: outputs.reduce((total, output) => total + output.metrics["loss:sum"], 0),
      logprobs: outputs.flatMap((output) => output.lossFnOutputs.map((fields) => [...fields.logprobs.data])),
    });
  }
  const after = await training.saveWeightsForSampler("after");
  const job = join(server.folder, "job.json");
  const archives = { before: join(server.folder, "before.tar.gz"), after: join(server.folder, "after.tar.gz") };
  await client.rest.downloadArchive(saved.path, archives.before);
  const archive = await client.rest.downloadArchive(after.path, archives.after);
  check("archives are downloaded", archive.bytes > 1000, `${archive.bytes} bytes`);
  writeFileSync(job, JSON.stringify({ model: server.modelDirectory, ...archives, learningRate: 100, eps: 100, cases }));
  const reference = JSON.parse(runPython("reference.py", job));
  reference.cases.forEach((expected, i) => {
    const norm = relative(measured[i].norm, expected.gradNorm);
    const loss = Math.abs(measured[i].loss - expected.loss) / Math.max(1, Math.abs(expected.loss));
    const lp = Math.max(...expected.logprobs.map((row, d) => worstDifference(row, measured[i].logprobs[d])));
    check(
      `gradient of ${expected.name}`,
      norm < 1e-4 && loss < 1e-4 && lp < 1e-4,
      `norm ${measured[i].norm.toFixed(6)} against PyTorch ${expected.gradNorm.toFixed(6)} (${norm.toExponential(1)}), loss ${loss.toExponential(1)}, logprobs ${lp.toExponential(1)}`,
    );
  });
  check(
    "every element of the custom gradient",
    reference.change.relative < 1e-3,
    `relative error ${reference.change.relative.toExponential(1)} over ${reference.parameters} LoRA matrices, worst element ${reference.change.worst.toExponential(1)}`,
  );

  // Sampling.
  const sampler = await training.saveWeightsAndGetSamplingClient();
  const prompt = [5, 6, 7, 8];
  const samples = await sampler.sample({
    prompt,
    numSamples: 4,
    samplingParams: { maxTokens: 12, seed: 1, temperature: 1 },
  });
  check(
    "samples come",
    samples.sequences.length === 4 && samples.sequences.every((sequence) => sequence.tokens.length > 0),
  );
  const again = await sampler.sample({
    prompt,
    numSamples: 4,
    samplingParams: { maxTokens: 12, seed: 1, temperature: 1 },
  });
  check(
    "the same seed gives the same samples",
    JSON.stringify(again.sequences.map((s) => [...s.tokens])) ===
      JSON.stringify(samples.sequences.map((s) => [...s.tokens])),
  );
  let gap = 0;
  for (const { tokens, logprobs } of samples.sequences) {
    const full = [...prompt, ...tokens];
    const forward = await training.forward([
      toDatum({ tokens: full, inputs: { weights: full.slice(1).map(() => 1) } }),
    ]);
    gap = Math.max(
      gap,
      worstDifference([...forward.lossFnOutputs[0].logprobs.data].slice(prompt.length - 1), [...logprobs]),
    );
  }
  check("sampler and trainer agree on logprobs", gap < 1e-3, gap.toExponential(1));
  const scored = await sampler.computeLogprobs([5, 6, 7, 8, 9]);
  const forward = await training.forward([toDatum({ tokens: [5, 6, 7, 8, 9], inputs: { weights: [1, 1, 1, 1] } })]);
  check(
    "computeLogprobs aligns with the prompt",
    scored.length === 5 &&
      scored[0] === null &&
      worstDifference(scored.slice(1), [...forward.lossFnOutputs[0].logprobs.data]) < 1e-3,
  );
  const base = await client.createSamplingClient({ baseModel: server.modelDirectory });
  check(
    "the base model samples",
    (await base.sample({ prompt, samplingParams: { maxTokens: 4, seed: 1 } })).sequences[0].tokens.length > 0,
  );

  // State: saving, a different continuation, loading, the same continuation.
  const rl = makeDatums(3, ["logprobs", "advantages"]).map((datum) => toDatum(datum));
  const path = await training.saveState("state-1");
  const continueWith = async (one) => {
    await one.forwardBackward(rl, "importance_sampling");
    await one.optimStep({ learningRate: 0.01 });
    const output = await one.forward(rl, "importance_sampling");
    return output.lossFnOutputs.flatMap((fields) => [...fields.logprobs.data]);
  };
  const first = await continueWith(training);
  const stale = await sampler.sample({ prompt, samplingParams: { maxTokens: 2 } }).then(
    () => undefined,
    (error) => error,
  );
  check("a stale sampler is refused", stale instanceof StaleSamplerError);
  const listed = await client.rest.listCheckpoints(training.modelId);
  check(
    "checkpoints are listed",
    listed.items.some((item) => item.tinker_path === path),
  );
  await training.unload();
  const resumed = await client.createTrainingClientFromState(path);
  const second = await continueWith(resumed);
  check(
    "a loaded state continues identically",
    worstDifference(first, second) < 1e-5,
    worstDifference(first, second).toExponential(1),
  );
  const duplicate = await resumed
    .saveState("twice")
    .then(() => resumed.saveState("twice"))
    .then(
      () => undefined,
      (error) => error,
    );
  check("a name is not saved twice", duplicate?.name === "ConflictError", duplicate?.message);
  await resumed.unload();
  check("training runs are listed", (await client.rest.listTrainingRuns()).items.length >= 2);
  check("the heartbeat ran", client.heartbeats.count > 0, `${client.heartbeats.count} beats`);

  // 100 requests in flight at once.
  const many = await Promise.all(
    Array.from({ length: 100 }, (_, seed) => base.sample({ prompt, samplingParams: { maxTokens: 4, seed } })),
  );
  check("100 samples in flight", many.length === 100);
  await client.close();
} catch (error) {
  failures++;
  console.error(error);
} finally {
  await server.stop();
}
console.log(failures === 0 ? "all checks passed" : `${failures} checks failed`);
process.exit(failures === 0 ? 0 : 1);
