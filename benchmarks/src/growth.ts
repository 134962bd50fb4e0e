/**
 * `npm run bench:growth [-- --steps N]`: does anything grow with the length of a run or the size of a batch?
 * 1. Steps of sampling, gradient and AdamW: resident memory must not reach more in the second half than in the first, in
 *    which every kind of batch has come; processor time a token is shown.
 * 2. Processor time a token of sampling and training, for batches of several sizes.
 * Ends with status 1 if memory grew.
 */
import { parseArgs } from "node:util";
import { type LanguageModel, loadModel, type SampleRequest, type TokenLogprobs } from "@critique-grpo/engine";
import { models } from "./models.js";
import { median } from "./statistics.js";

/** 51 thousand parameters: its weights are inputs of every run. */
const tiny = {
  ...models.S,
  ...{ hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2 },
  ...{ num_attention_heads: 4, num_key_value_heads: 2, head_dim: 8 },
};
/** 2.03 million parameters, just enough for constant weights: every update makes a new session. */
const constant = {
  ...models.S,
  ...{ intermediate_size: 512, num_hidden_layers: 3, num_attention_heads: 4, num_key_value_heads: 2, head_dim: 64 },
};

const inMiB = (bytes: number) => (bytes / 2 ** 20).toFixed(1);

const PARTS = 10;
/** What memory may reach more in the second half of a run: the garbage collector's moods. */
const ALLOWED_SHARE = 0.03;

const adamW = { learningRate: 1e-5, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, maxGradNorm: 1 };
const loss = (_: unknown, { logprobs }: TokenLogprobs) => ({
  loss: 0,
  logprobGradient: new Float32Array(logprobs.length).fill(-1e-3),
});

/** Prompts and lengths differ from step to step, as in a real run. */
function requestsOf(step: number, prompts: number, count: number): SampleRequest[] {
  return Array.from({ length: prompts }, (_, row) => ({
    prompt: Array.from({ length: 3 + ((step + row) % 6) }, (_, column) => 2 + ((step * 7 + row * 3 + column) % 500)),
    count,
    maxTokens: 4 + ((step * 5 + row) % 20),
    temperature: 1,
    stopTokens: [],
    seed: step * prompts + row,
  }));
}

/** @returns microseconds of processor time a token in sampling and in training. */
async function step(model: LanguageModel, requests: readonly SampleRequest[]) {
  const start = process.cpuUsage();
  const sequences: { prompt: readonly number[]; response: readonly number[] }[] = [];
  let tokens = 0;
  for await (const { requestIndex, tokens: response } of model.sample(requests)) {
    sequences.push({ prompt: requests[requestIndex]!.prompt, response });
    tokens += response.length;
  }
  const sampled = process.cpuUsage();
  await model.forwardBackward(sequences, loss);
  await model.optimizerStep(adamW);
  const trained = process.cpuUsage(sampled);
  const sampling = sampled.user + sampled.system - start.user - start.system;
  return { sampling: sampling / tokens, training: (trained.user + trained.system) / tokens };
}

async function grows(name: string, config: object, steps: number): Promise<boolean> {
  const model = await loadModel({ config: { ...config }, seed: 1 });
  console.log(`${name} (${model.info.parameterCount.toLocaleString("en")} parameters), ${steps} steps`);
  console.log("step     resident MiB   CPU µs a token: sampling   training");
  const resident: number[] = [];
  for (let part = 0; part < PARTS; part++) {
    const end = Math.round(((part + 1) * steps) / PARTS);
    const costs: Awaited<ReturnType<typeof step>>[] = [];
    for (let index = Math.round((part * steps) / PARTS); index < end; index++) {
      costs.push(await step(model, requestsOf(index, 8, 4)));
    }
    resident.push(process.memoryUsage.rss());
    const [sampling, training] = [costs.map((cost) => cost.sampling), costs.map((cost) => cost.training)];
    const cells = [inMiB(resident.at(-1)!), median(sampling).toFixed(0), median(training).toFixed(0)];
    console.log(
      `${String(end).padEnd(6)} ${cells[0]!.padStart(14)} ${cells[1]!.padStart(26)} ${cells[2]!.padStart(10)}`,
    );
  }
  await model.close();
  // Highest against highest: the garbage collector gives back and takes again.
  const [first, second] = [resident.slice(0, PARTS / 2), resident.slice(PARTS / 2)].map((half) => Math.max(...half));
  console.log(`highest resident memory: ${inMiB(first!)} MiB in the first half, ${inMiB(second!)} in the second\n`);
  return second! > (1 + ALLOWED_SHARE) * first!;
}

async function costByBatch(): Promise<void> {
  const model = await loadModel({ config: models.S, seed: 1 });
  console.log("S, sequences of 32 tokens: CPU µs a token by batch\nbatch   sampling   training");
  for (const batch of [16, 32, 64, 128, 256]) {
    const requests = requestsOf(0, batch, 1).map((request) => ({ ...request, maxTokens: 32 }));
    const costs: Awaited<ReturnType<typeof step>>[] = [];
    for (let round = 0; round < 4; round++) costs.push(await step(model, requests));
    const of = (key: "sampling" | "training") => median(costs.slice(1).map((cost) => cost[key])).toFixed(0);
    console.log(`${String(batch).padEnd(5)} ${of("sampling").padStart(10)} ${of("training").padStart(10)}`);
  }
  await model.close();
}

const { values } = parseArgs({ options: { steps: { type: "string", default: "2000" } } });
const steps = Number(values.steps);
if (!Number.isInteger(steps) || steps < PARTS) {
  throw new Error(`--steps is ${values.steps}; a whole number of at least ${PARTS} is needed.`);
}
const grown = [
  await grows("weights as inputs", tiny, steps),
  await grows("constant weights", constant, Math.max(PARTS, steps / 2)),
];
await costByBatch();
if (grown.includes(true)) {
  console.error("Resident memory grew.");
  process.exitCode = 1;
}
