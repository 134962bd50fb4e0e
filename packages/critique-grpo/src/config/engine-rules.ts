/** Rules between the engine and the rest of a configuration. Pure. */
import { dialectOf } from "@critique-grpo/tinker";
import type { ConfigProblem } from "./errors.js";
import type { RunConfig } from "./schema.js";

type TinkerConfig = RunConfig & { readonly engine: Extract<RunConfig["engine"], { type: "tinker" }> };

/** What can be told of an engine without opening it. */
export function checkEngine(config: RunConfig): ConfigProblem[] {
  switch (config.engine.type) {
    case "embedded":
      return checkEmbedded(config.engine);
    case "tinker":
      return checkTinker(config as TinkerConfig);
    default:
      throw new RangeError(`Unknown engine ${String(config.engine satisfies never)}`);
  }
}

/** Where the tokenizer comes from; not asked where a codec is given in code. */
export function checkTokenizer({ engine, tokenizer }: RunConfig): ConfigProblem[] {
  if (engine.type !== "tinker" || tokenizer.path !== undefined) return [];
  return [
    {
      path: ["tokenizer", "path"],
      message: `is missing: with engine.type tinker there is no model directory to take the tokenizer from; name a directory with tokenizer.json of ${engine.baseModel}, e.g. from: hf download ${engine.baseModel} tokenizer.json tokenizer_config.json config.json --local-dir tokenizers/model`,
    },
  ];
}

function checkEmbedded({
  device = "auto",
  frozenWeights,
  rolloutPrecision,
}: Extract<RunConfig["engine"], { type: "embedded" }>): ConfigProblem[] {
  if (device === "auto" || device === "cpu") return [];
  const problems: ConfigProblem[] = [];
  if (frozenWeights === "stored") {
    problems.push({
      path: ["engine", "frozenWeights"],
      message: `is stored, but engine.device ${device} computes with float32 weights; leave out one of them`,
    });
  }
  if (rolloutPrecision === "int8") {
    problems.push({
      path: ["engine", "rolloutPrecision"],
      message: `is int8, which runs on the CPU only, but engine.device is ${device}; leave out one of them`,
    });
  }
  return problems;
}

/** Int8 rollouts are taken for the policy's own where nothing corrects them. Null: nothing to say. */
export function rolloutWarning({ engine, algorithm, group }: RunConfig): string | null {
  if (engine.type !== "embedded" || engine.rolloutPrecision !== "int8") return null;
  if (algorithm.samplerCorrection !== null || algorithm.objective === "supervised" || group.initial === "none")
    return null;
  return "engine.rolloutPrecision is int8 without algorithm.samplerCorrection: with a language model's weights that can stop it from learning (docs/rollout-precision.md); set algorithm.samplerCorrection to {}";
}

function checkTinker(config: TinkerConfig): ConfigProblem[] {
  const { engine, sampling, algorithm } = config;
  const problems: ConfigProblem[] = [];
  if (sampling.temperature !== 1 && sampling.temperature !== 0) {
    problems.push({
      path: ["sampling", "temperature"],
      message: `is ${sampling.temperature}, but a Tinker server trains at temperature 1 only, so importance ratios would be wrong; set it to 1`,
    });
  }
  if (algorithm.entropyCoefficient > 0 && engine.entropy === "error") {
    problems.push({
      path: ["algorithm", "entropyCoefficient"],
      message: `is ${algorithm.entropyCoefficient}, but the Tinker protocol gives no gradient of the entropy; set it to 0, or set engine.entropy to estimate (score-function estimate from the sampled tokens, see docs/distributed.md)`,
    });
  }
  return engine.dialect === "auto" ? problems : [...problems, ...checkDialect(config, engine.dialect)];
}

/** With `auto` the same is checked once the server is known. */
function checkDialect({ engine, optimizer }: TinkerConfig, name: Exclude<TinkerConfig["engine"]["dialect"], "auto">) {
  const problems: ConfigProblem[] = [];
  if (engine.loraRank === 0 && name !== "skyrl-train") {
    problems.push({
      path: ["engine", "loraRank"],
      message: `is 0 (full fine-tuning), which engine.dialect ${name} does not have; use a rank, e.g. 32`,
    });
  }
  const support = dialectOf(name).optimizer;
  if (support === "no-clipping" && optimizer.maxGradNorm !== 0) {
    problems.push({
      path: ["optimizer", "maxGradNorm"],
      message: `is ${optimizer.maxGradNorm}, but ${name} ignores gradient clipping; set it to 0`,
    });
  }
  if (support === "learning-rate-only") {
    const { beta1, beta2, epsilon, weightDecay, maxGradNorm } = engine.serverOptimizer;
    for (const [key, value] of Object.entries({ beta1, beta2, epsilon, weightDecay, maxGradNorm })) {
      const wanted = optimizer[key as keyof typeof engine.serverOptimizer];
      if (wanted === value) continue;
      problems.push({
        path: ["optimizer", key],
        message: `is ${wanted}, but ${name} takes only the learning rate from a request and uses ${value}; set it to ${value}, or change the server's configuration and tell it in engine.serverOptimizer.${key}`,
      });
    }
  }
  return problems;
}
