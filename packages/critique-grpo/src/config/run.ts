/** The configuration of a training run: schema, rules between keys, loading. */
import { benchmarks as benchmarkRegistry } from "../evaluation/benchmarks/registry.js";
import { critiqueTemplateProblem } from "../feedback/critique/critique-prompt.js";
import { refinementTemplateProblem } from "../feedback/refinement-prompt.js";
import { builtInRewards } from "../feedback/reward/resolve.js";
import { checkEngine, checkTokenizer } from "./engine-rules.js";
import type { ConfigProblem } from "./errors.js";
import { checkGroup } from "./group-rules.js";
import { type ConfigKind, type ConfigSource, type LoadedConfig, loadConfig, resolveConfig } from "./load.js";
import { didYouMean } from "./nearest.js";
import { presets } from "./presets.js";
import { type RunConfig, type RunConfigInput, runSchema } from "./schema.js";

export const runConfigKind: ConfigKind<typeof runSchema> = {
  schema: runSchema,
  check: (config) => [...checkTokenizer(config), ...checkRunConfig(config)],
};

/** Reads a run's YAML. Throws InputError or ConfigError with every problem. */
export function loadRunConfig(source: ConfigSource): LoadedConfig<RunConfig> {
  return loadConfig(runConfigKind, { presets, ...source });
}

/** Checks a run that is configured in code; paths are relative to `directory`. Throws ConfigError. */
export function resolveRunConfig(input: RunConfigInput, directory = process.cwd()): RunConfig {
  return resolveConfig(runConfigKind, input, { directory, presets });
}

/** Rules between keys: each message gives the value, the rule and the remedy. Pure. */
export function checkRunConfig(config: RunConfig): ConfigProblem[] {
  return [
    ...checkEngine(config),
    ...checkSampling(config),
    ...checkBatches(config),
    ...checkGroup(config),
    ...checkCritique(config),
    ...checkRewards(config),
    ...checkData(config),
    ...checkEvaluation(config),
    ...checkOptimizer(config),
  ];
}

function checkSampling({ sampling, engine, refinement }: RunConfig): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  if (sampling.temperature === 0) {
    problems.push({
      path: ["sampling", "temperature"],
      message:
        "is 0 (greedy): all responses of a question would be the same and nothing could be learned; set it above 0, usually 1",
    });
  }
  if (engine.contextLength !== undefined) {
    for (const [path, tokens] of [
      [["sampling", "maxTokens"], sampling.maxTokens],
      [["refinement", "maxTokens"], refinement.maxTokens ?? 0],
    ] as const) {
      if (tokens < engine.contextLength) continue;
      problems.push({
        path,
        message: `is ${tokens}, but engine.contextLength (prompt + response) is ${engine.contextLength}: no room for a prompt; lower it or raise engine.contextLength`,
      });
    }
  }
  return problems;
}

function checkBatches({ questionsPerStep, miniBatches }: RunConfig): ConfigProblem[] {
  if (questionsPerStep % miniBatches === 0) return [];
  return [
    {
      path: ["questionsPerStep"],
      message: `is ${questionsPerStep}, not divisible by miniBatches (${miniBatches}); use a multiple of ${miniBatches}, e.g. ${Math.ceil(questionsPerStep / miniBatches) * miniBatches}`,
    },
  ];
}

function checkCritique({ critique, refinement, group }: RunConfig): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  if (refinement.count > 0 && critique.type === "none") {
    problems.push({
      path: ["refinement", "count"],
      message: `is ${refinement.count}, but critique.type is none and a refinement needs a critique; set critique.type (simple, simple_gt, program, self, checkpoint, teacher) or refinement.count to 0`,
    });
  }
  if (refinement.count === 0 && !group.critiques && critique.type !== "none") {
    problems.push({
      path: ["critique", "type"],
      message: `is ${critique.type}, but refinement.count is 0, so no critique would ever be read; set refinement.count to 1 or critique.type to none`,
    });
  }
  if ("template" in critique && critique.template !== undefined) {
    const problem = critiqueTemplateProblem(critique.template);
    if (problem !== null) problems.push({ path: ["critique", "template"], message: problem });
  }
  const template = refinement.template === undefined ? null : refinementTemplateProblem(refinement.template);
  if (template !== null) problems.push({ path: ["refinement", "template"], message: template });
  return problems;
}

function checkRewards({ reward }: RunConfig): ConfigProblem[] {
  const builtIn = Object.keys(builtInRewards);
  return reward.functions.flatMap(({ name, module }, index): ConfigProblem[] => {
    const problems: ConfigProblem[] = [];
    if (module === undefined && !builtIn.includes(name)) {
      problems.push({
        path: ["reward", "functions", index, "name"],
        message: `"${name}" is not built in (${builtIn.join(", ")})${didYouMean(name, builtIn) || "; for a reward of your own set module beside it"}`,
      });
    }
    if (reward.functions.findIndex((other) => other.name === name) !== index) {
      problems.push({
        path: ["reward", "functions", index, "name"],
        message: `"${name}" stands twice; the parts of a reward are recorded by name, give each its own`,
      });
    }
    return problems;
  });
}

function checkData({ data }: RunConfig): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  if (data.promptTemplate !== undefined && !data.promptTemplate.includes("{question}")) {
    problems.push({
      path: ["data", "promptTemplate"],
      message: "does not contain {question}: every prompt would be the same",
    });
  }
  if (data.format === "plain" && data.system !== undefined) {
    problems.push({
      path: ["data", "system"],
      message: "is not used with data.format plain, which has no roles; put the text into data.promptTemplate",
    });
  }
  if (data.module !== undefined) {
    for (const [key, value] of [
      ...Object.entries(data.columns).map(([name, column]) => [`columns.${name}`, column] as const),
      ["answerAfter", data.answerAfter] as const,
    ]) {
      if (value === undefined) continue;
      problems.push({
        path: ["data", ...key.split(".")],
        message: "is not used with data.module, whose mapRow decides alone; remove one of them",
      });
    }
  }
  return problems;
}

function checkEvaluation({ evaluation, engine }: RunConfig): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const { benchmarks, files, samples, benchmarkSamples, maxTokens } = evaluation;
  if (evaluation.every > 0 && files === undefined && benchmarks.length === 0) {
    problems.push({
      path: ["evaluation", "every"],
      message: `is ${evaluation.every}, but evaluation.files names no held-out questions and evaluation.benchmarks no benchmark; add one or set it to 0`,
    });
  }
  const names = benchmarks.map((entry) => (typeof entry === "string" ? entry : entry.name));
  for (const [index, name] of names.entries()) {
    const known = [...benchmarkRegistry.keys()];
    const path = ["evaluation", "benchmarks", index];
    if (!known.includes(name)) {
      const hint = didYouMean(name, known) || "; other files belong into evaluation.files";
      problems.push({ path, message: `"${name}" is not one of ${known.join(", ")}${hint}` });
    } else if (names.indexOf(name) !== index) {
      problems.push({ path, message: `"${name}" stands twice` });
    }
  }
  for (const [key, value] of Object.entries({ samples, benchmarkSamples })) {
    if (evaluation.temperature > 0 || value === undefined || value === 1) continue;
    problems.push({
      path: ["evaluation", key],
      message: `is ${value}, but at evaluation.temperature 0 all samples are the same; set it to 1, or use greedy: true beside a temperature above 0`,
    });
  }
  if (maxTokens !== undefined && engine.contextLength !== undefined && maxTokens >= engine.contextLength) {
    problems.push({
      path: ["evaluation", "maxTokens"],
      message: `is ${maxTokens}, but engine.contextLength (prompt + response) is ${engine.contextLength}: no room for a prompt; lower it or raise engine.contextLength`,
    });
  }
  return problems;
}

function checkOptimizer({ optimizer, steps, miniBatches }: RunConfig): ConfigProblem[] {
  const updates = steps * miniBatches;
  if (optimizer.warmupSteps < updates) return [];
  return [
    {
      path: ["optimizer", "warmupSteps"],
      message: `is ${optimizer.warmupSteps}, but the run has only ${updates} optimizer steps (steps · miniBatches); lower it`,
    },
  ];
}
