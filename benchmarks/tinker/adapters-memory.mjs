/**
 * Memory of `critique-grpo serve` as clients are added that train and sample one base model: LoRA adapters beside one copy of the
 * weights (--lora-only, and without it), and full fine-tuning, a copy for each. A random model of 60 million parameters in
 * bfloat16; resident memory of the server's process (Linux) before the first client and after each.
 *
 *   npm run build && node benchmarks/tinker/adapters-memory.mjs [clients] [rank]
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { loadModel } from "../../packages/engine/dist/index.js";
import { float32Tensor, int64Tensor, ServiceClient, textInput } from "../../packages/tinker/dist/index.js";

const clients = Number(process.argv[2] ?? 3);
const rank = Number(process.argv[3] ?? 16);
const TOKENS = 64;
const VOCABULARY = 16_384;
const cli = join(dirname(fileURLToPath(import.meta.url)), "../../packages/critique-grpo/dist/cli/main.js");
const folder = mkdtempSync(join(tmpdir(), "adapters-memory-"));
const apiKey = "tml-benchmark";

const model = await loadModel({
  config: {
    architectures: ["Qwen3ForCausalLM"],
    vocab_size: VOCABULARY,
    hidden_size: 512,
    intermediate_size: 2_048,
    num_hidden_layers: 12,
    num_attention_heads: 8,
    num_key_value_heads: 4,
    head_dim: 64,
    max_position_embeddings: 512,
    tie_word_embeddings: true,
  },
  seed: 1,
});
const { parameterCount } = model.info;
await model.exportModel(join(folder, "base"), { dtype: "bfloat16" });
await model.close();

const data = Array.from({ length: 8 }, (_, i) => {
  const tokens = Array.from({ length: TOKENS + 1 }, (_, t) => (i * 7_919 + t * 104_729) % VOCABULARY);
  const inputs = { target_tokens: int64Tensor(tokens.slice(1)), weights: float32Tensor(tokens.slice(1).map(() => 1)) };
  return { modelInput: textInput(tokens.slice(0, -1)), lossFnInputs: inputs };
});

/** MiB of a process. */
function residentMemory(pid) {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) / 1024;
}

/** A step of training and some samples: everything that a client has in memory. */
async function use(training) {
  const pass = training.forwardBackward(data, "cross_entropy");
  await training.optimStep({ learningRate: 1e-4 });
  await pass;
  const sampler = await training.saveWeightsAndGetSamplingClient();
  await sampler.sample({ prompt: [1, 2, 3], numSamples: 8, samplingParams: { maxTokens: 16 } });
}

async function measure(name, options, loraRank) {
  const argv = ["--model", join(folder, "base"), "--port", "0", "--checkpoints", join(folder, name), ...options];
  const server = spawn(process.execPath, [cli, "serve", ...argv, "--max-models", String(clients)], {
    env: { ...process.env, CRITIQUE_GRPO_API_KEY: apiKey },
    stdio: ["ignore", "pipe", "ignore"],
  });
  try {
    const baseUrl = await new Promise((resolve) => {
      createInterface({ input: server.stdout }).on("line", (line) => resolve(/http:\/\/\S+/.exec(line)?.[0]));
    });
    const service = await ServiceClient.connect({ baseUrl, apiKey, env: {} });
    const sizes = [residentMemory(server.pid)];
    for (let count = 1; count <= clients; count++) {
      await use(await service.createTrainingClient({ baseModel: "base", loraRank }));
      sizes.push(residentMemory(server.pid));
    }
    console.log(`${name.padEnd(12)} ${sizes.map((size) => `${Math.round(size)}`.padStart(8)).join("")}`);
    await service.close();
  } finally {
    const stopped = new Promise((resolve) => server.on("exit", resolve));
    server.kill("SIGTERM");
    await stopped;
  }
}

try {
  console.log(`${Math.round(parameterCount / 1e6)} million parameters, rank ${rank}; MiB with 0 to ${clients} clients`);
  await measure("lora-only", ["--lora-only"], rank);
  await measure("lora", [], rank);
  await measure("full", [], 0);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
