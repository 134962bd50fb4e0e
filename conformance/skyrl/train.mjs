/**
 * A whole Critique-GRPO run on a real SkyRL server (JAX on CPU): sampling, critiques, refinements, updates, checkpoints,
 * resume and export over the Tinker policy. Prints one line a check; exits with 1 if any fails.
 *
 *   npm run build && node conformance/skyrl/train.mjs
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createProgramCritic,
  openPolicy,
  readMetrics,
  resolveRunConfig,
  train,
} from "../../packages/critique-grpo/dist/index.js";
import { setUp, startSkyrl } from "./server.mjs";

let failures = 0;
function check(name, passed, detail = "") {
  if (!passed) failures++;
  console.log(`${passed ? "ok  " : "FAIL"} ${name}${detail === "" ? "" : `: ${detail}`}`);
}

/** Words w0 … w127 of make_model.py's tokenizer; w1 ends a response. */
const codec = {
  encode: (text) => text.split(" ").map((word) => Number(word.slice(1))),
  decode: (tokens) =>
    tokens
      .filter((token) => token !== 1)
      .map((token) => `w${token}`)
      .join(" "),
  encodeChat: (messages) => codec.encode(messages.map(({ content }) => content).join(" ")),
  stopTokens: [1],
};
const questions = Array.from({ length: 8 }, (_, i) => {
  const text = `w${10 + i} w${30 + i} w${50 + i}`;
  return { id: `q${i}`, dataSource: "words", text, prompt: text, gold: `w${i}`, metadata: {} };
});
/** Something that a small model can learn in a few steps: words from the lower half. */
const rewards = [
  {
    name: "low-words",
    score: ({ tokens }) => tokens.filter((token) => token < 64).length / tokens.length,
  },
];
const critic = createProgramCritic(({ response }) => (response.reward.correct ? "w5 w6" : "w7 w8"));

setUp();
const skyrl = await startSkyrl();
const scratch = mkdtempSync(join(tmpdir(), "skyrl-train-"));

/** One run into a directory; `stopAt` ends it before that step's update. */
async function run(name, { stopAt, resume = false } = {}) {
  const config = resolveRunConfig({
    engine: {
      type: "tinker",
      baseUrl: skyrl.url,
      baseModel: skyrl.modelDirectory,
      loraRank: 8,
      seed: 5,
      contextLength: 64,
      entropy: "estimate",
    },
    tokenizer: { path: skyrl.modelDirectory },
    data: { files: join(skyrl.modelDirectory, "config.json"), format: "plain" },
    steps: 4,
    questionsPerStep: 4,
    miniBatches: 2,
    sampling: { maxTokens: 8 },
    reward: { functions: [{ name: "low-words", module: join(skyrl.modelDirectory, "config.json") }], correctAt: 0.8 },
    critique: { type: "program", module: join(skyrl.modelDirectory, "config.json") },
    refinement: { count: 1, template: "{question} {response} {critique}" },
    algorithm: { initialResponses: 3, entropyCoefficient: 0.001, klCoefficient: 0.01 },
    optimizer: { learningRate: 5e-3, maxGradNorm: 0 },
    checkpoint: { every: 1 },
  });
  const runDirectory = join(scratch, name);
  const abort = new AbortController();
  const sinks = [
    (event) => {
      if (event.type === "phase" && event.phase === "refine" && event.step === stopAt) abort.abort();
    },
  ];
  const policy = await openPolicy(config.engine, { reference: true });
  try {
    const result = await train({
      ...{ config, policy, codec, questions, rewards, critic, runDirectory, resume, sinks, signal: abort.signal },
    });
    return { result, policy: policy.info, metrics: await readMetrics(runDirectory) };
  } finally {
    await policy.close();
  }
}

function adapter(name) {
  const bytes = readFileSync(join(scratch, name, "model", "adapter_model.safetensors"));
  const headerBytes = Number(bytes.readBigUInt64LE());
  const header = JSON.parse(bytes.subarray(8, 8 + headerBytes).toString());
  const tensors = Object.entries(header).filter(([key]) => key !== "__metadata__");
  return new Map(
    tensors.map(
      ([
        key,
        {
          data_offsets: [from, to],
        },
      ]) => {
        const data = bytes.subarray(8 + headerBytes + from, 8 + headerBytes + to);
        return [key, new Float32Array(Uint8Array.from(data).buffer)];
      },
    ),
  );
}

try {
  const whole = await run("whole");
  check("the back end was recognised", whole.policy.device.includes("skyrl-jax"), whole.policy.device);
  check("four steps ran", whole.result.step === 4 && !whole.result.interrupted);
  const column = (key) => whole.metrics.map((record) => record[key]);
  const worst = Math.max(...column("sampling/logp_difference_max"));
  check("sampler and trainer agree on log-probabilities", worst < 1e-3, `largest difference ${worst.toExponential(1)}`);
  check(
    "gradients are reported and finite",
    column("grad_norm").every((value) => value > 0),
    column("grad_norm")
      .map((value) => value.toPrecision(3))
      .join(", "),
  );
  check("KL to the base model starts at 0 and grows", column("kl")[0] < column("kl")[3], column("kl").join(", "));
  check("refinements were sampled", column("refinement/count")[0] > 0, column("refinement/count").join(", "));
  const tensors = adapter("whole");
  const size = (name) => [...tensors].filter(([key]) => key.includes(name)).flatMap(([, values]) => [...values]);
  check(
    "the exported adapter was trained",
    size("lora_B").some((value) => value !== 0),
    `${tensors.size} tensors`,
  );

  const stopped = await run("broken", { stopAt: 2 });
  check("an interrupted run stops with a checkpoint", stopped.result.interrupted && stopped.result.step === 2);
  const resumed = await run("broken", { resume: true });
  check("the run is resumed", resumed.result.step === 4);
  const other = adapter("broken");
  const difference = Math.max(
    ...[...tensors].map(([key, values]) => Math.max(...values.map((value, i) => Math.abs(value - other.get(key)[i])))),
  );
  check("… to the same weights", difference < 1e-4, `largest difference ${difference.toExponential(1)}`);
  check(
    "… and the same rewards",
    JSON.stringify(resumed.metrics.map(({ reward }) => reward)) === JSON.stringify(column("reward")),
    column("reward")
      .map((value) => value.toFixed(3))
      .join(", "),
  );
} finally {
  await skyrl.stop();
  rmSync(scratch, { recursive: true, force: true });
}
process.exitCode = failures > 0 ? 1 : 0;
