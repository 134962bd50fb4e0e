import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { rolloutWarning } from "./engine-rules.js";
import { ConfigError } from "./errors.js";
import { loadRunConfig } from "./run.js";

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "config-"));
  mkdirSync(join(directory, "model"));
  for (const name of ["data.jsonl", "other.jsonl", "reward.ts"]) writeFileSync(join(directory, name), "");
});
afterAll(() => rmSync(directory, { recursive: true }));

const GOOD = `engine:
  type: embedded
  model: model
data:
  files: data.jsonl
steps: 3
reward:
  functions:
    - name: exact-match
`;

function load(yaml: string, overrides: string[] = [], presets?: Record<string, unknown>) {
  const file = join(directory, "run.yaml");
  writeFileSync(file, yaml);
  return loadRunConfig({ file, overrides, ...(presets ? { presets } : {}) }).config;
}

/** The message of the ConfigError, with the temporary directory cut out. */
function problem(yaml: string, overrides: string[] = [], presets?: Record<string, unknown>): string {
  try {
    load(yaml, overrides, presets);
  } catch (error) {
    if (error instanceof ConfigError) return error.message.replaceAll(`${directory}/`, "");
    throw error;
  }
  throw new Error("the configuration was accepted");
}

describe("loading a run's YAML", () => {
  it("fills in defaults and resolves paths relative to the YAML file", () => {
    const config = load(GOOD);
    expect(config.data.files).toBe(join(directory, "data.jsonl"));
    expect(config.engine).toMatchObject({ model: join(directory, "model") });
    expect(config.algorithm.shaping).toEqual({ type: "ratio", gamma: 0.1 });
    expect(config.sampling.temperature).toBe(1);
  });

  it("lays preset, YAML and --set over one another, the last winning", () => {
    const presets = {
      mine: { steps: 9, miniBatches: 1, questionsPerStep: 4, algorithm: { entropyCoefficient: 0, clip: { low: 0.1 } } },
    };
    const config = load(`preset: mine\n${GOOD}questionsPerStep: 6\n`, ["algorithm.clip.high=0.3", "steps=7"], presets);
    expect(config).toMatchObject({ preset: "mine", steps: 7, miniBatches: 1, questionsPerStep: 6 });
    expect(config.algorithm).toMatchObject({ entropyCoefficient: 0, clip: { low: 0.1, high: 0.3 } });
  });

  it("lets one alternative replace another whole", () => {
    const presets = { mine: { algorithm: { shaping: { type: "ratio", gamma: 0.2 } } } };
    const config = load(`preset: mine\n${GOOD}algorithm:\n  shaping: { type: sqrt }\n`, [], presets);
    expect(config.algorithm.shaping).toEqual({ type: "sqrt" });
  });
});

describe("--set", () => {
  it.each([
    ["sampling.temperature=0.8", { sampling: { temperature: 0.8 } }],
    ["optimizer.learningRate=1e-3", { optimizer: { learningRate: 1e-3 } }],
    ["data.system=42", { data: { system: "42" } }],
    ["data.system=be brief # and kind", { data: { system: "be brief # and kind" } }],
    ["data.system=a: b", { data: { system: "a: b" } }],
    ["algorithm.clip=null", { algorithm: { clip: null } }],
    ["algorithm.clip={low: 0.1}", { algorithm: { clip: { low: 0.1, high: 0.2 } } }],
    ['algorithm.shaping={"type":"power","exponent":0.3}', { algorithm: { shaping: { type: "power", exponent: 0.3 } } }],
    ["reward.functions.0.weight=2", { reward: { functions: [{ name: "exact-match", weight: 2 }] } }],
    ["reward.functions.0.options.answer=boxed", { reward: { functions: [{ options: { answer: "boxed" } }] } }],
    ["refinement.stopWhenFound=false", { refinement: { stopWhenFound: false } }],
  ])("%s takes the type of the schema", (text, expected) => {
    expect(load(GOOD, [text])).toMatchObject(expected);
  });

  it("takes a list of files, or one", () => {
    const both = load(GOOD, ["data.files=[data.jsonl, other.jsonl]"]).data.files;
    expect(both).toEqual([join(directory, "data.jsonl"), join(directory, "other.jsonl")]);
    expect(load(GOOD, ["data.files=other.jsonl"]).data.files).toBe(join(directory, "other.jsonl"));
  });

  it.each([
    [
      "sampling.temprature=1",
      '--set sampling.temprature=1: sampling.temprature: unknown key; did you mean "temperature"?',
    ],
    ["temperature=1", 'temperature: unknown key; did you mean "sampling.temperature"?'],
    ["learning-rate=1", "learning-rate: unknown key; known keys: "],
    ["steps", "--set steps: must be key=value"],
    ["steps=many", '--set steps=many: steps: must be a number (is "many")'],
  ])("refuses %s", (text, message) => {
    expect(problem(GOOD, [text])).toContain(message);
  });
});

describe("what is wrong is told with its place", () => {
  it.each([
    ["sampling:\n  temprature: 1\n", 'run.yaml:11:3: sampling.temprature: unknown key; did you mean "temperature"?'],
    ["learningRate: 1\n", 'run.yaml:10:1: learningRate: unknown key; did you mean "optimizer.learningRate"?'],
    ["sampling:\n  temperature: hot\n", 'run.yaml:11:3: sampling.temperature: must be a number (is "hot")'],
    ["sampling:\n  topP: 1.5\n", "run.yaml:11:3: sampling.topP: must be at most 1 (is 1.5)"],
    ["sampling:\n  maxTokens: 2.5\n", "run.yaml:11:3: sampling.maxTokens: must be a whole number (is 2.5)"],
    [
      "algorithm:\n  advantage: mean_std\n",
      'algorithm.advantage: must be one of mean, mean-std (is "mean_std"); did you mean "mean-std"?',
    ],
    [
      "algorithm:\n  shaping: { type: ration }\n",
      'run.yaml:11:14: algorithm.shaping.type: must be one of none, ratio, log, linear-log, sqrt, power (is "ration"); did you mean "ratio"?',
    ],
    ["algorithm:\n  shaping: { type: sqrt, gamma: 1 }\n", "algorithm.shaping.gamma: unknown key"],
    ["steps: 4\n", "run.yaml:10:1: not valid YAML: Map keys must be unique"],
    ["sampling: [\n", "not valid YAML"],
    ["checkpoint: 5\n", "run.yaml:10:1: checkpoint: must be a mapping (is 5)"],
  ])("%j", (addition, message) => {
    expect(problem(GOOD + addition)).toContain(message);
  });

  it("names what is missing, and all problems at once", () => {
    const text = problem("engine:\n  type: embedded\n  model: model\ndata: {}\n");
    expect(text.split("\n")).toHaveLength(3);
    expect(text).toContain("run.yaml:4:1: data.files: is missing (One file or a list: JSONL or (verl) parquet)");
    expect(text).toContain("run.yaml: steps: is missing (Training steps)");
    expect(text).toContain("run.yaml: reward: is missing");
  });

  it("checks that paths exist, and their kind", () => {
    expect(problem(GOOD.replace("data.jsonl", "[data.jsonl, absent.jsonl]"))).toBe(
      "run.yaml:5:23: data.files[1]: no such file: absent.jsonl",
    );
    expect(problem(GOOD.replace("model: model", "model: data.jsonl"))).toContain(
      "run.yaml:3:3: engine.model: must be a directory, but data.jsonl is a file",
    );
    expect(problem(GOOD.replace("model: model", "model: { config: model }"))).toContain(
      "engine.model.config: must be a file, but model is a directory",
    );
    expect(problem(GOOD.replace("model: model", "model: { confg: x }"))).toContain(
      'run.yaml:3:12: engine.model.confg: unknown key; did you mean "config"?',
    );
  });

  it("refuses a missing, empty or list-shaped file", () => {
    expect(() => loadRunConfig({ file: join(directory, "none.yaml") })).toThrow(
      "none.yaml: no such configuration file",
    );
    expect(() => loadRunConfig({ file: directory })).toThrow("is a directory; name the YAML file in it");
    expect(problem("- 1\n")).toContain("must hold a mapping");
    expect(problem("")).toContain("engine: ");
  });

  it("refuses an unknown preset", () => {
    expect(problem(`preset: gpro\n${GOOD}`, [], { grpo: {}, "dr-grpo": {} })).toBe(
      'run.yaml:1:1: preset: must be one of grpo, dr-grpo (is "gpro"); did you mean "grpo"?',
    );
  });
});

describe("alternatives", () => {
  it("have keys of their own: the model of a teacher is a name, that of a checkpoint a directory", () => {
    const yaml = (critic: string) => `${GOOD}critique: ${critic}\nrefinement: { count: 1 }\n`;
    expect(load(yaml("{ type: teacher, model: gpt-x }")).critique).toMatchObject({ model: "gpt-x" });
    expect(problem(yaml("{ type: checkpoint, model: gpt-x }"))).toContain("critique.model: no such directory: gpt-x");
  });
});

describe("rules between keys", () => {
  it.each([
    ["refinement:\n  count: 1\n", "refinement.count: is 1, but critique.type is none"],
    ["critique:\n  type: simple\n", "critique.type: is simple, but refinement.count is 0"],
    ["critique: { type: program }\nrefinement: { count: 1 }\n", "critique.module: is missing"],
    [
      "critique: { type: simple, module: reward.ts }\nrefinement: { count: 1 }\n",
      'critique.module: unknown key with type "simple"; it belongs to program',
    ],
    ["critique: { type: simple }\nrefinement: { count: 9 }\n", "only 8 responses are there"],
    [
      "critique: { type: simple }\nrefinement: { count: 1, template: again }\n",
      "lacks {question}, {response}, {critique}",
    ],
    ["sampling: { temperature: 0 }\n", "run.yaml:10:13: sampling.temperature: is 0 (greedy)"],
    ["questionsPerStep: 9\n", "questionsPerStep: is 9, not divisible by miniBatches (2); use a multiple of 2, e.g. 10"],
    [
      "algorithm: { initialResponses: 1 }\n",
      "gives a group of 1 with group.initial all, 0 refinements and no expert solution",
    ],
    ["preset: raft\ngroup: { initial: all }\n", "group.initial: is all, but algorithm.objective supervised"],
    ["preset: raft\nalgorithm: { clip: { low: 0.2 } }\n", "algorithm.clip: is set, but algorithm.objective supervised"],
    ["preset: refinement-ft\nrefinement: { onlyCorrect: false }\n", "would imitate wrong refinements as well"],
    ["preset: sft\ngroup: { expert: false }\n", "group: leaves nothing to train on"],
    ["preset: sft\ngroup: { initial: correct }\n", "algorithm.initialResponses: is 0, but group.initial correct"],
    ["preset: grpo\ngroup: { initial: correct }\n", "a policy gradient needs the wrong responses to compare with"],
    ["preset: critique-grpo\ngroup: { critiques: true }\n", "a critique has no reward to take a policy gradient of"],
    ["preset: raft\ngroup: { critiques: true }\n", "group.critiques: is true, but critique.type is none"],
    ["preset: critique-grpo\ngroup: { critiqueTemplate: '{question}' }\n", "group.critiqueTemplate: lacks {response}"],
    [
      "preset: grpo\nalgorithm: { offPolicy: { importanceCap: 2 } }\n",
      "neither refinements nor expert solutions to guard",
    ],
    ["preset: raft\nalgorithm: { offPolicy: { annealing: { steps: 5 } } }\n", "has no off-policy term"],
    ["preset: luffy\nalgorithm: { offPolicy: { importanceCap: 2 } }\n", "no sampler knows the probability"],
    [
      "preset: critique-grpo-refinements-only\nalgorithm: { offPolicy: { maxGradientShare: 0.1 } }\n",
      "the share of off-policy tokens is always 1",
    ],
    ["preset: raft\nalgorithm: { samplerCorrection: {} }\n", "supervised has no importance weights to correct"],
    [
      "preset: critique-grpo-refinements-only\nalgorithm: { samplerCorrection: {} }\n",
      "algorithm.samplerCorrection: is set, but group.initial is none",
    ],
    ["evaluation: { every: 5 }\n", "evaluation.files names no held-out questions"],
    ["optimizer: { warmupSteps: 6 }\n", "is 6, but the run has only 6 optimizer steps"],
    ["evaluation: { samples: 4, temperature: 0 }\n", "all samples are the same"],
  ])("%j", (addition, message) => {
    expect(problem(GOOD + addition)).toContain(message);
  });

  it("refuses int8 rollouts on a device", () => {
    expect(problem(GOOD, ["engine.rolloutPrecision=int8", "engine.device=webgpu"])).toContain(
      "engine.rolloutPrecision: is int8, which runs on the CPU only, but engine.device is webgpu",
    );
  });

  it("warns of int8 rollouts that nothing corrects, where they are compared", () => {
    const warning = (...overrides: string[]) =>
      rolloutWarning(load(GOOD, ["engine.rolloutPrecision=int8", ...overrides]));
    expect(warning()).toContain("set algorithm.samplerCorrection to {}");
    expect(warning("algorithm.samplerCorrection={}")).toBeNull();
    expect(warning("engine.rolloutPrecision=float32")).toBeNull();
    expect(warning("preset=raft")).toBeNull();
  });

  it("needs room for a prompt in the context", () => {
    expect(problem(GOOD, ["engine.contextLength=512"])).toContain(
      "sampling.maxTokens: is 512, but engine.contextLength",
    );
  });

  it("knows the built-in rewards", () => {
    expect(problem(GOOD.replace("exact-match", "exact_match"))).toContain(
      '"exact_match" is not built in (exact-match, format, length, math, multiple-choice); did you mean "exact-match"?',
    );
  });

  it("does not mix a data module with columns", () => {
    expect(problem(GOOD, ["data.module=reward.ts", "data.columns.answer=x"])).toContain(
      "data.columns.answer: is not used with data.module",
    );
  });
});
