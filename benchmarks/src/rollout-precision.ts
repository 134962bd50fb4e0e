/**
 * `npm run bench:precision [-- --rounds N] [--model DIRECTORY]`: sampling in int8 beside float32, on the shapes of the
 * generation rows or on a checkpoint of one's own. Both take turns in one process; what one round of either takes is
 * compared, in wall and in processor time. Then what a change of the weights costs until the next token (rounding them, a
 * new session), and how far the two distributions are apart, on text that the model writes itself.
 */
import { basename } from "node:path";
import { parseArgs } from "node:util";
import {
  type GenerationPrecision,
  type LanguageModel,
  loadModel,
  type ModelSource,
  type SampleRequest,
} from "@critique-grpo/engine";
import { describeMachine } from "./machine.js";
import { type ModelName, models } from "./models.js";
import { grpoPrompt } from "./ours/workload.js";
import { median } from "./statistics.js";

interface Shape {
  readonly batch: number;
  readonly newTokens: number;
}

interface Subject {
  readonly name: string;
  readonly source: ModelSource;
  readonly shapes: readonly Shape[];
}

const random = (name: ModelName): ModelSource => ({ config: models[name], seed: 1 });
const SUBJECTS: readonly Subject[] = [
  { name: "S", source: random("S"), shapes: [{ batch: 128, newTokens: 64 }] },
  {
    name: "M",
    source: random("M"),
    shapes: [
      { batch: 128, newTokens: 128 },
      { batch: 1, newTokens: 128 },
    ],
  },
];
/** Of a checkpoint of one's own, which may be large. */
const OWN_SHAPES: readonly Shape[] = [
  { batch: 32, newTokens: 32 },
  { batch: 1, newTokens: 64 },
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
  { batch, newTokens }: Shape,
  round: number,
): Promise<Cost> {
  const requests = Array.from(
    { length: batch },
    (_, row): SampleRequest => ({
      prompt: grpoPrompt(row, PROMPT_LENGTH, model.info.vocabularySize),
      ...{ count: 1, maxTokens: newTokens, temperature: 1, stopTokens: [], seed: round * batch + row },
    }),
  );
  const [cpu, wall] = [process.cpuUsage(), performance.now()];
  let sampled = 0;
  for await (const { tokens } of model.sample(requests, { precision })) sampled += tokens.length;
  const { user, system } = process.cpuUsage(cpu);
  if (sampled !== batch * newTokens) throw new Error(`Sampled ${sampled} tokens instead of ${batch * newTokens}.`);
  return { wall: (performance.now() - wall) / 1000, cpu: (user + system) / 1e6 };
}

/** A model for each precision, so that neither has to make way for the other's session. */
type Pair = Readonly<Record<GenerationPrecision, LanguageModel>>;

async function openPair(source: ModelSource, contextLength: number): Promise<Pair> {
  const open = () => loadModel(source, { contextLength });
  return { float32: await open(), int8: await open() };
}

async function interleaved(pair: Pair, shape: Shape, rounds: number) {
  const costs: Record<GenerationPrecision, Cost[]> = { float32: [], int8: [] };
  // The first round makes sessions and buffers.
  for (let round = 0; round <= rounds; round++)
    for (const precision of PRECISIONS) {
      const cost = await sampleOnce(pair[precision], precision, shape, round);
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
    times.push((await sampleOnce(model, precision, { batch: 1, newTokens: 1 }, round)).wall);
  }
  return 1000 * median(times);
}

/** A PPO clip as most presets have it, and the cap of the correction. */
const CLIP = 0.2;
const CAP = 2;

/** Sampled in int8 after an end of text, evaluated in float32: π / μ of each token, and what it means. */
async function divergence({ float32, int8 }: Pair): Promise<string> {
  const prompt = [float32.info.eosTokenIds[0] ?? 0];
  const request = { prompt, count: 32, maxTokens: 32, temperature: 1, stopTokens: [], seed: 1 };
  const sequences: { prompt: readonly number[]; response: readonly number[]; logprobs: Float32Array }[] = [];
  for await (const { tokens, logprobs } of int8.sample([request], { precision: "int8" }))
    sequences.push({ prompt, response: tokens, logprobs });
  const exact = await float32.logprobs(sequences);
  const differences = exact.flatMap(({ logprobs }, index) =>
    Array.from(logprobs, (logprob, t) => logprob - sequences[index]!.logprobs[t]!),
  );
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const share = (test: (ratio: number) => boolean) =>
    `${(100 * mean(differences.map((difference) => (test(Math.exp(difference)) ? 1 : 0)))).toFixed(1)} %`;
  return [
    `KL(int8 ‖ float32) ${mean(differences.map((d) => Math.exp(d) - d - 1)).toExponential(1)} nats a token`,
    `mean abs(log π − log μ) ${mean(differences.map(Math.abs)).toExponential(1)}`,
    `π / μ outside of 1 ± ${CLIP} at ${share((ratio) => Math.abs(ratio - 1) > CLIP)}, above ${CAP} at ${share((ratio) => ratio > CAP)} of the tokens`,
  ].join(", ");
}

const { values } = parseArgs({ options: { rounds: { type: "string", default: "5" }, model: { type: "string" } } });
const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 1)
  throw new Error(`--rounds ${values.rounds}: must be a whole number from 1 on`);
const subjects: readonly Subject[] =
  values.model === undefined
    ? SUBJECTS
    : [{ name: basename(values.model), source: { directory: values.model }, shapes: OWN_SHAPES }];
const { cpu, cores, loadAverage } = describeMachine();
console.log(
  `${cpu}, ${cores} cores, load average ${loadAverage.toFixed(1)}; Node ${process.version}; ${rounds} rounds`,
);
console.log("| shape | float32 tokens/s | int8 tokens/s | ratio, wall time | ratio, processor time |");
console.log("| --- | --- | --- | --- | --- |");
const findings: string[] = [];
for (const { name, source, shapes } of subjects) {
  const pair = await openPair(source, PROMPT_LENGTH + Math.max(...shapes.map(({ newTokens }) => newTokens)));
  for (const shape of shapes) {
    const costs = await interleaved(pair, shape, rounds);
    const speed = (precision: GenerationPrecision) =>
      ((shape.batch * shape.newTokens) / median(costs[precision].map(({ wall }) => wall))).toFixed(0);
    const ratio = (key: keyof Cost) =>
      median(costs.float32.map((cost, round) => cost[key] / costs.int8[round]![key])).toFixed(2);
    const title = `${name}, ${shape.batch === 1 ? "one sequence" : `${shape.batch} sequences`} × ${shape.newTokens} tokens`;
    console.log(`| ${title} | ${speed("float32")} | ${speed("int8")} | ${ratio("wall")}× | ${ratio("cpu")}× |`);
  }
  findings.push(`${name}: ${await divergence(pair)}`);
  const waits: string[] = [];
  for (const precision of PRECISIONS)
    waits.push(`${(await firstTokenAfterUpdate(pair[precision], precision, rounds)).toFixed(0)} ms in ${precision}`);
  findings.push(`${name}: first token after an update ${waits.join(", ")}`);
  for (const model of Object.values(pair)) await model.close();
}
for (const finding of findings) console.log(finding);
