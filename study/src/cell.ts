/** One method on one seed of one family: what is run, and what is kept of it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { loadRunConfig, type PresetName, presets, type RunConfig } from "critique-grpo";
import { dataHash } from "./digest.js";
import { families } from "./families/index.js";
import type { Family, FamilyName, GateResult } from "./family.js";
import { readJson } from "./json-file.js";
import type { Measurement } from "./measurement.js";
import { type Method, methodNamed, methodOverrides } from "./methods.js";
import { groundHash, seedPaths, THREADS } from "./seed-ground.js";

export interface Cell {
  readonly family: Family;
  readonly method: Method;
  readonly seed: number;
}

/** A point of the learning curve. */
export interface CurvePoint {
  readonly step: number;
  readonly sampledTokens: number;
  /** Held-out accuracy, greedy. */
  readonly greedy: number;
}

/** Raised when a record changes in a way that breaks the report. */
export const RESULT_SCHEMA_VERSION = 1;

/** A committed result; fractions unless said otherwise, null = nothing to count. */
export interface CellResult {
  readonly schemaVersion: number;
  readonly family: FamilyName;
  readonly method: string;
  readonly seed: number;
  /** Of configuration, questions and warm-up: another hash is another experiment. */
  readonly hash: string;
  readonly packageVersion: string;
  readonly node: string;
  /** SHA-256 of the trained weights. */
  readonly weights: string;
  readonly before: Measurement;
  readonly after: Measurement;
  readonly curve: readonly CurvePoint[];
  readonly training: TrainingSummary;
}

/** Of the steps of a run; "first" and "last" are means over a fifth of them. */
export interface TrainingSummary {
  readonly steps: number;
  readonly sampledTokens: number;
  readonly trainedTokens: number;
  /** Fraction of training questions without a right initial response in the whole run; null where none are sampled. */
  readonly unsolved: number | null;
  readonly entropy: FirstLast;
  readonly length: FirstLast;
  readonly groupsWithoutSignal: FirstLast;
  readonly fixRate: FirstLast;
  readonly refinementProbability: FirstLast;
  readonly gradientShare: FirstLast;
  /** Of `train()`, its evaluations included. */
  readonly cpuSeconds: number;
  readonly wallSeconds: number;
}

export interface FirstLast {
  readonly first: number | null;
  readonly last: number | null;
}

/** `family/method/seed`, as commands take it. */
export function cellName({ family, method, seed }: Cell): string {
  return `${family.name}/${method.name}/${seed}`;
}

/** @throws RangeError that says what is wrong with the name. */
export function parseCellName(name: string): Cell {
  const [family = "", method = "", seed = ""] = name.split("/");
  if (!Object.hasOwn(families, family) || !/^\d+$/.test(seed)) {
    throw new RangeError(`"${name}" is no cell; it should look like operations/dr-grpo/101`);
  }
  return { family: families[family as FamilyName], method: methodNamed(method), seed: Number(seed) };
}

/** The resolved configuration. Throws ConfigError. */
export function cellConfig({ family, method, seed }: Cell, root: string, allowMissing = false): RunConfig {
  const paths = seedPaths(root, family, seed);
  const overrides = [
    `seed=${seed}`,
    `engine.model=${JSON.stringify(paths.model)}`,
    `engine.threads=${THREADS}`,
    `data.files=${JSON.stringify(paths.train)}`,
    `evaluation.files=${JSON.stringify(paths.heldOut)}`,
    // Methods are compared at equal sampled tokens: no refinement more than needed.
    "refinement.roundGrowth=1",
    ...methodOverrides(method, family),
  ];
  return loadRunConfig({ file: family.configFile, overrides, allowMissing }).config;
}

/**
 * What a result follows from: configuration file, preset, overrides, questions and warm-up. Not the resolved configuration:
 * a key that a later version adds, off by default, makes no other experiment.
 */
export function cellHash({ family, method, seed }: Cell): string {
  const file = readFileSync(family.configFile, "utf8").replace(/^\s*#.*\n/gm, "");
  const preset = presets[method.preset as PresetName];
  return dataHash({ file, preset, overrides: methodOverrides(method, family), ground: groundHash(family, seed), seed });
}

export function resultFile(directory: string, { family, method, seed }: Cell): string {
  return join(directory, family.name, method.name, `seed-${seed}.json`);
}

/** A seed whose warm-up did not converge: none of its cells is run. Committed, so that the report can tell. */
export interface LeftOutSeed {
  readonly family: FamilyName;
  readonly seed: number;
  readonly hash: string;
  /** Of the warm-up. */
  readonly steps: number;
  readonly gate: GateResult;
}

export function leftOutFile(directory: string, family: Family, seed: number): string {
  return join(directory, family.name, "left-out", `seed-${seed}.json`);
}

/** Null if the seed was not left out, or under other settings. */
export async function readLeftOut(directory: string, family: Family, seed: number): Promise<LeftOutSeed | null> {
  const found = await readJson<LeftOutSeed>(leftOutFile(directory, family, seed));
  return found?.hash === groundHash(family, seed) ? found : null;
}

/** The result of a cell if it is there and of the experiment as it is now; else null. */
export async function readResult(directory: string, cell: Cell): Promise<CellResult | null> {
  const result = await readJson<CellResult>(resultFile(directory, cell));
  return result?.schemaVersion === RESULT_SCHEMA_VERSION && result.hash === cellHash(cell) ? result : null;
}
