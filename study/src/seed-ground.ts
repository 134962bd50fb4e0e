/** What all methods of a family and a seed share: questions and warm-up model. Made once, kept by a hash of what it follows from. */
import { existsSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  createScorer,
  encodePair,
  loadQuestions,
  loadRunConfig,
  loadTextCodec,
  loadUserModule,
  openPolicy,
  resolveRewards,
  sft,
} from "critique-grpo";
import { dataHash } from "./digest.js";
import type { Examinee, Family, GateResult } from "./family.js";
import { readJson, writeJson } from "./json-file.js";
import { type Measurement, measureModel, type Questions } from "./measurement.js";

/** One thread: sums are then rounded in the same order on every machine of the same kind. */
export const THREADS = 1;

/** Content of `ground.json`, written last. */
export interface SeedGround {
  readonly hash: string;
  readonly steps: number;
  readonly gate: GateResult;
  readonly before: Measurement;
  readonly cpuSeconds: number;
}

export interface SeedPaths {
  readonly directory: string;
  /** HF directory of the warm-up model. */
  readonly model: string;
  readonly train: string;
  readonly heldOut: string;
}

export function seedPaths(root: string, family: Family, seed: number): SeedPaths {
  const directory = join(root, family.name, `seed-${seed}`);
  const file = (name: string) => join(directory, name);
  return { directory, model: file("model"), train: file("train.jsonl"), heldOut: file("held-out.jsonl") };
}

/** Steps of warm-up pairs that go into the hash: enough that another mixture shows. */
const HASHED_STEPS = 20;

/** What warm-up and questions follow from: sizes, settings, and the first pairs and the questions themselves. */
export function groundHash(family: Family, seed: number): string {
  const { steps, batchSize, extensionSteps, maxExtensions, optimizer, pairs } = family.warmUp;
  const settings = { steps, batchSize, extensionSteps, maxExtensions, first: optimizer(true), next: optimizer(false) };
  const first = Array.from({ length: HASHED_STEPS }, (_, step) => pairs(seed)(step));
  return dataHash({ seed, settings, pairs: first, questions: family.questions(seed, family.sizes) });
}

/** The ground of a seed if it is there and still what the family asks for; else null. */
export async function readGround(root: string, family: Family, seed: number): Promise<SeedGround | null> {
  const paths = seedPaths(root, family, seed);
  const ground = await readJson<SeedGround>(join(paths.directory, "ground.json"));
  return ground?.hash === groundHash(family, seed) && existsSync(paths.model) ? ground : null;
}

/** Writes the questions and trains the warm-up, unless that was done; several minutes of processor time. */
export async function prepareGround(root: string, family: Family, seed: number): Promise<SeedGround> {
  const known = await readGround(root, family, seed);
  if (known !== null) return known;
  const paths = seedPaths(root, family, seed);
  await rm(paths.directory, { recursive: true, force: true });
  await mkdir(paths.directory, { recursive: true });
  const rows = family.questions(seed, family.sizes);
  const lines = (set: readonly object[]) => set.map((row) => `${JSON.stringify(row)}\n`).join("");
  await writeFile(paths.train, lines(rows.train));
  await writeFile(paths.heldOut, lines(rows.heldOut));
  const ground = { hash: groundHash(family, seed), ...(await warmUp(family, seed, paths)) };
  await writeJson(join(paths.directory, "ground.json"), ground);
  return ground;
}

export async function loadSeedQuestions(paths: SeedPaths): Promise<Questions> {
  const load = async (file: string) =>
    (await loadQuestions({ files: file, columns: {}, format: "plain" })).map(({ question }) => question);
  return { train: await load(paths.train), heldOut: await load(paths.heldOut) };
}

/** The reward of the family's configuration. */
export async function familyScore(family: Family): Promise<Examinee["score"]> {
  const { config } = loadRunConfig({ file: family.configFile, allowMissing: true });
  return createScorer(await resolveRewards(config.reward, loadUserModule), config.reward.correctAt);
}

async function warmUp(family: Family, seed: number, paths: SeedPaths): Promise<Omit<SeedGround, "hash">> {
  const { warmUp: plan } = family;
  const fresh = join(paths.directory, "fresh-model");
  await mkdir(fresh, { recursive: true });
  await family.writeModelFiles(fresh, { config: true });
  const codec = loadTextCodec(fresh);
  const questions = await loadSeedQuestions(paths);
  const score = await familyScore(family);
  const policy = await openPolicy({
    type: "embedded",
    model: { config: join(fresh, "config.json"), seed },
    threads: THREADS,
  });
  try {
    const examinee: Examinee = { policy, codec, score };
    const pairs = plan.pairs(seed);
    let steps = 0;
    let gate: GateResult;
    for (let extension = 0; ; extension++) {
      const first = extension === 0;
      const offset = steps;
      const { step } = await sft({
        policy,
        config: {
          seed,
          steps: first ? plan.steps : plan.extensionSteps,
          batchSize: plan.batchSize,
          optimizer: plan.optimizer(first),
          checkpoint: { every: 0, keep: 1 },
        },
        pairs: (current) => pairs(offset + current).map((pair) => encodePair(codec, pair)),
      });
      steps += step;
      gate = await family.gate(examinee, seed, questions.heldOut);
      if (gate.passed || extension === plan.maxExtensions) break;
    }
    const before = await measureModel(family, examinee, questions, seed);
    await mkdir(paths.model);
    await policy.exportModel(paths.model);
    await family.writeModelFiles(paths.model, { config: false });
    const { user, system } = process.cpuUsage();
    return { steps, gate, before, cpuSeconds: (user + system) / 1e6 };
  } finally {
    await policy.close();
  }
}
