/**
 * `npm run bench:precision [-- --rounds N]`: sampling in int8 beside float32, on the shapes of the generation rows. Both
 * take turns in one process; what one round of either takes is compared, in wall and in processor time. Then what a change
 * of the weights costs until the next token (rounding them, a new session), and how far the two distributions are apart.
 */
import { parseArgs } from "node:util";
import { type GenerationPrecision, type LanguageModel, loadModel, type SampleRequest } from "@critique-grpo/engine";
import { describeMachine } from "./machine.js";
import { type ModelName, models } from "./models.js";
import { grpoPrompt } from "./ours/workload.js";
import { median } from "./statistics.js";

interface Shape {
  readonly model: ModelName;
  readonly batch: number;
  readonly newTokens: number;
}

const SHAPES: readonly Shape[] = [
  { model: "S", batch: 128, newTokens: 64 },
  { model: "M", batch: 128, newTokens: 128 },
  { model: "M", batch: 1, newTokens: 128 },
];
const PROMPT_LENGTH = 8;
const PRECISIONS = ["float32", "int8"] as const satisfies readonly GenerationPrecision[];

/** One call to `sample`, in seconds. */
interface Cost {
  readonly wall: number;
  readonly cpu: number;
}

async function sampleOnce(
  model: LanguageModel,
  precision: GenerationPrecision,
  { batch, newTokens }: Omit<Shape, "model">,
  round: number,
) {
  const requests = Array.from(
    { length: batch },
    (_, row): SampleRequest => ({
      prompt: grpoPrompt(row, PROMPT_LENGTH, model.info.vocabularySize),
      ...{ count: 1, maxTokens: newTokens, temperature: 1, stopTokens: [], seed: round * batch + row },
    }),
  );
  const [cpu, wall] = [process.cpuUsage(), performance.now()];
  const sequences: { prompt: readonly number[]; response: readonly number[]; logprobs: Float32Array }[] = [];
  for await (const { requestIndex, tokens, logprobs } of model.sample(requests, { precision }))
    sequences.push({ prompt: requests[requestIndex]!.prompt, response: tokens, logprobs });
  const { user, system } = process.cpuUsage(cpu);
  const cost: Cost = { wall: (performance.now() - wall) / 1000, cpu: (user + system) / 1e6 };
  return { sequences, cost };
}

/** A model for each precision, so that neither has to make way for the other's session. */
type Pair = Readonly<Record<GenerationPrecision, LanguageModel>>;

async function openPair(name: ModelName, contextLength: number): Promise<Pair> {
  const open = () => loadModel({ config: models[name], seed: 1 }, { contextLength });
  return { float32: await open(), int8: await open() };
}

async function interleaved(pair: Pair, shape: Omit<Shape, "model">, rounds: number) {
  const costs: Record<GenerationPrecision, Cost[]> = { float32: [], int8: [] };
  // The first round makes sessions and buffers.
  for (let round = 0; round <= rounds; round++)
    for (const precision of PRECISIONS) {
      const { cost } = await sampleOnce(pair[precision], precision, shape, round);
      if (round > 0) costs[precision].push(cost);
    }
  return costs;
}

/** Milliseconds of the first token after the weights have changed. */
async function firstTokenAfterUpdate(model: LanguageModel, precision: GenerationPrecision, rounds: number) {
  const [weight] = model.parameters().values();
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    weight!.data[0]! += 1e-3;
    times.push((await sampleOnce(model, precision, { batch: 1, newTokens: 1 }, round)).cost.wall);
  }
  return 1000 * median(times);
}

/** KL(int8 ‖ float32) of a token, in nats, from sampled ones. */
async function divergence({ float32, int8 }: Pair): Promise<number> {
  const { sequences } = await sampleOnce(int8, "int8", { batch: 32, newTokens: 32 }, 0);
  const exact = await float32.logprobs(sequences);
  const terms = exact.flatMap(({ logprobs }, index) =>
    Array.from(logprobs, (logprob, t) => {
      const difference = logprob - sequences[index]!.logprobs[t]!;
      return Math.exp(difference) - difference - 1;
    }),
  );
  return terms.reduce((sum, term) => sum + term, 0) / terms.length;
}

const { values } = parseArgs({ options: { rounds: { type: "string", default: "5" } } });
const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 1)
  throw new Error(`--rounds ${values.rounds}: must be a whole number from 1 on`);
const { cpu, cores, loadAverage } = describeMachine();
console.log(
  `${cpu}, ${cores} cores, load average ${loadAverage.toFixed(1)}; Node ${process.version}; ${rounds} rounds`,
);
console.log("| shape | float32 tokens/s | int8 tokens/s | ratio, wall time | ratio, processor time |");
console.log("| --- | --- | --- | --- | --- |");
const apart: string[] = [];
for (const name of new Set(SHAPES.map(({ model }) => model))) {
  const shapes = SHAPES.filter(({ model }) => model === name);
  const pair = await openPair(name, PROMPT_LENGTH + Math.max(...shapes.map(({ newTokens }) => newTokens)));
  for (const shape of shapes) {
    const costs = await interleaved(pair, shape, rounds);
    const speed = (precision: GenerationPrecision) =>
      ((shape.batch * shape.newTokens) / median(costs[precision].map(({ wall }) => wall))).toFixed(0);
    const ratio = (key: keyof Cost) =>
      median(costs.float32.map((cost, round) => cost[key] / costs.int8[round]![key])).toFixed(2);
    const title = `${name}, ${shape.batch === 1 ? "one sequence" : `${shape.batch} sequences`} × ${shape.newTokens} tokens`;
    console.log(`| ${title} | ${speed("float32")} | ${speed("int8")} | ${ratio("wall")}× | ${ratio("cpu")}× |`);
  }
  const waits = [];
  for (const precision of PRECISIONS)
    waits.push(`${(await firstTokenAfterUpdate(pair[precision], precision, rounds)).toFixed(0)} ms in ${precision}`);
  apart.push(`${name}: first token after an update ${waits.join(", ")}`);
  apart.push(`${name}: KL(int8 ‖ float32) ${(await divergence(pair)).toExponential(1)} nats a token (random weights)`);
  for (const model of Object.values(pair)) await model.close();
}
for (const line of apart) console.log(line);
