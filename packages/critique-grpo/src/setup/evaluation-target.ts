/** What `critique-grpo eval` measures: a run, a YAML's model, a model directory, an endpoint, a checkpoint on a server. */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, statSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { engineSchema } from "../config/engine-schema.js";
import { ConfigError, InputError } from "../config/errors.js";
import { loadRunConfig } from "../config/run.js";
import { dataSchema, evaluationSchema, type RunConfig, rewardSchema } from "../config/schema.js";
import { loadUserModule } from "../config/user-module.js";
import { checkPrompts } from "../data/check.js";
import type { EvaluationTarget } from "../evaluation/directory.js";
import { type EndpointOptions, endpointGenerator } from "../evaluation/generators/endpoint.js";
import type { ResponseGenerator } from "../evaluation/generators/generator.js";
import { policyGenerator } from "../evaluation/generators/policy.js";
import { tinkerGenerator } from "../evaluation/generators/tinker.js";
import type { EvaluationSet, GenerationSettings } from "../evaluation/types.js";
import { resolveRewards } from "../feedback/reward/resolve.js";
import { readModelLimits } from "../policy/model-limits.js";
import type { TextCodec } from "../policy/policy.js";
import { loadTextCodec } from "../text/codec.js";
import { evaluationSet, evaluationSettings, loadEvaluationSets } from "./evaluation.js";
import { openConfiguredPolicy, tokenizerDirectoryOf } from "./prepare.js";

/** What the command line says of the questions and of sampling; what is absent comes from the configuration. */
export interface EvaluationWishes {
  readonly files?: string;
  readonly benchmarks?: RunConfig["evaluation"]["benchmarks"];
  readonly benchmarkDirectory?: string;
  readonly samples?: number;
  readonly temperature?: number;
  readonly topP?: number;
  readonly maxTokens?: number;
  readonly greedy?: boolean;
  readonly limit?: number;
  readonly seed?: number;
  /** Built-in verifier of `files` where no configuration names rewards. Default math. */
  readonly reward?: string;
  readonly system?: string;
  readonly promptTemplate?: string;
  readonly plain?: boolean;
}

export interface TargetOptions extends EvaluationWishes {
  /** Model directory in the place of the configuration's; name of the model at an endpoint. */
  readonly model?: string;
  readonly overrides: readonly string[];
  readonly tokenizer?: string;
  readonly threads?: number;
  /** As engine.device. */
  readonly device?: string;
  readonly contextLength?: number;
  /** Address of the Tinker server. */
  readonly baseUrl?: string;
  readonly endpoint: Pick<EndpointOptions, "keyVariable" | "concurrency" | "timeoutMs" | "retries" | "request">;
}

/** An evaluation that is checked and ready; weights are not read, connections not made before `open`. */
export interface PreparedEvaluation {
  readonly target: EvaluationTarget;
  readonly sets: readonly EvaluationSet[];
  readonly settings: GenerationSettings;
  readonly warnings: readonly string[];
  /** Where evaluations of this target belong. */
  readonly parent: string;
  readonly open: () => Promise<OpenGenerator>;
}

export interface OpenGenerator {
  readonly generator: ResponseGenerator;
  readonly close: () => Promise<void>;
}

/** @throws InputError on the first thing that is wrong */
export async function prepareEvaluation(argument: string, options: TargetOptions): Promise<PreparedEvaluation> {
  if (/^https?:\/\//.test(argument)) return prepareEndpoint(argument, options);
  if (argument.startsWith("tinker://")) return prepareCheckpoint(argument, options);
  const isDirectory = statSync(argument, { throwIfNoEntry: false })?.isDirectory() === true;
  if (isDirectory && !existsSync(join(argument, "config.yaml"))) return prepareModel(argument, options);
  return prepareConfigured(argument, options);
}

/** What a YAML file or a run directory stands for: a configuration, and in a run the trained model. */
export interface LoadedTarget {
  readonly file: string;
  readonly isRun: boolean;
  /** For the configuration: the model and what the command line sets. */
  readonly overrides: readonly string[];
}

/** @throws InputError if a run has no model yet, or a model directory is to take the place of a server's model */
export function loadTarget(
  argument: string,
  options: Pick<TargetOptions, "model" | "overrides" | "device" | "threads" | "contextLength" | "tokenizer">,
): LoadedTarget {
  const runFile = join(argument, "config.yaml");
  const isRun = existsSync(runFile);
  const file = isRun ? runFile : argument;
  const trained = join(argument, "model");
  if (isRun && options.model === undefined && !existsSync(trained)) {
    throw new InputError(`${argument}: this run has no exported model yet; finish it, or name one with --model`);
  }
  const model = options.model ?? (isRun ? trained : undefined);
  if (model !== undefined) requireModelKey(file, options.overrides);
  const overrides = [
    // An exported model has its adapters merged, and an adapter directory brings its own.
    ...(model === undefined
      ? []
      : [`engine.model=${JSON.stringify(resolve(model))}`, "engine.lora=null", "engine.frozenWeights=float32"]),
    ...(options.device === undefined ? [] : [`engine.device=${options.device}`]),
    ...(options.threads === undefined ? [] : [`engine.threads=${options.threads}`]),
    ...(options.contextLength === undefined ? [] : [`engine.contextLength=${options.contextLength}`]),
    ...(options.tokenizer === undefined ? [] : [`tokenizer.path=${JSON.stringify(resolve(options.tokenizer))}`]),
    ...options.overrides,
  ];
  return { file, isRun, overrides };
}

async function prepareConfigured(argument: string, options: TargetOptions): Promise<PreparedEvaluation> {
  const { file, isRun, overrides } = loadTarget(argument, options);
  const config = withWishes(loadRunConfig({ file, overrides }).config, options);
  const { engine } = config;
  const rewards = await resolveRewards(config.reward, (path) => loadUserModule(path));
  const name = isRun && options.model === undefined ? argument : (modelName(engine) ?? argument);
  return preparePolicy(config, rewards, {
    target: { kind: isRun && options.model === undefined ? "run" : "model", name, ...fingerprint(engine) },
    parent: isRun ? join(argument, "evaluations") : "evaluations",
  });
}

/** A model directory by itself. */
async function prepareModel(directory: string, options: TargetOptions): Promise<PreparedEvaluation> {
  if (options.model !== undefined) {
    throw new InputError(`${directory} and --model ${options.model} name two models; give one`);
  }
  const engine = engineSchema.parse({
    ...{ type: "embedded", model: resolve(directory) },
    ...(options.device === undefined ? {} : { device: options.device }),
    ...(options.threads === undefined ? {} : { threads: options.threads }),
    ...(options.contextLength === undefined ? {} : { contextLength: options.contextLength }),
  });
  // Of a short context, a quarter is left for prompts.
  const maxTokens =
    options.maxTokens ?? Math.min(BARE_MAX_TOKENS, Math.floor(0.75 * readModelLimits(engine).contextLength));
  const config = { ...bareConfig({ ...options, maxTokens }), engine };
  const rewards = await resolveRewards(config.reward, (path) => loadUserModule(path));
  const target = { kind: "model", name: directory, ...fingerprint(engine) } as const;
  return preparePolicy(config, rewards, { target, parent: "evaluations" });
}

type PolicyConfig = Pick<RunConfig, "engine" | "tokenizer" | "data" | "evaluation" | "reward" | "sampling" | "seed">;

async function preparePolicy(
  config: PolicyConfig,
  rewards: Awaited<ReturnType<typeof resolveRewards>>,
  identity: Pick<PreparedEvaluation, "target" | "parent">,
): Promise<PreparedEvaluation> {
  const codec = loadTextCodec(tokenizerDirectoryOf(config));
  const { sets, warnings } = await loadEvaluationSets(config, rewards);
  requireSets(sets.length);
  const settings = evaluationSettings(config);
  const { contextLength, vocabularySize } = readModelLimits(config.engine);
  const limits = { contextLength, maxTokens: settings.maxTokens, vocabularySize };
  checkPrompts(
    sets.flatMap(({ located }) => located),
    codec,
    limits,
  );
  return {
    ...{ ...identity, settings, warnings, sets: sets.map(evaluationSet) },
    open: async () => {
      const policy = await openConfiguredPolicy({ engine: config.engine });
      return { generator: policyGenerator(policy, codec), close: () => policy.close() };
    },
  };
}

async function prepareEndpoint(baseUrl: string, options: TargetOptions): Promise<PreparedEvaluation> {
  const { model } = options;
  if (model === undefined) throw new InputError(`--model must name the model at ${baseUrl}`);
  const url = new URL(baseUrl);
  if (url.username !== "" || url.password !== "" || url.search !== "") {
    throw new InputError(
      `${url.origin}${url.pathname}: an address must not hold user, password or query; the key comes from the environment variable of --key-variable`,
    );
  }
  const address = baseUrl.replace(/\/+$/, "");
  return {
    ...(await bareSets(options)),
    target: {
      ...{ kind: "endpoint", name: `${address} ${model}` },
      ...(options.endpoint.request === undefined ? {} : { fingerprint: digest(options.endpoint.request) }),
    },
    parent: "evaluations",
    open: async () => ({
      generator: endpointGenerator({ ...options.endpoint, baseUrl: address, model }),
      close: async () => {},
    }),
  };
}

async function prepareCheckpoint(path: string, options: TargetOptions): Promise<PreparedEvaluation> {
  const { tokenizer, baseUrl } = options;
  if (tokenizer === undefined) {
    throw new InputError(`${path}: --tokenizer must name a directory with the tokenizer.json of its model`);
  }
  const codec: TextCodec = loadTextCodec(tokenizer);
  return {
    ...(await bareSets(options)),
    target: { kind: "tinker", name: path },
    parent: "evaluations",
    open: async () => {
      const { ServiceClient } = await import("@critique-grpo/tinker");
      const service = await ServiceClient.connect(baseUrl === undefined ? {} : { baseUrl });
      try {
        const sampler = await service.createSamplingClient({ modelPath: path });
        return { generator: tinkerGenerator(sampler, codec), close: () => service.close() };
      } catch (error) {
        await service.close();
        throw new InputError(`${path}: ${(error as Error).message}`, { cause: error });
      }
    },
  };
}

async function bareSets(options: TargetOptions): Promise<Pick<PreparedEvaluation, "sets" | "settings" | "warnings">> {
  const config = bareConfig(options);
  const rewards = await resolveRewards(config.reward, (path) => loadUserModule(path));
  const { sets, warnings } = await loadEvaluationSets(config, rewards);
  requireSets(sets.length);
  return { sets: sets.map(evaluationSet), settings: evaluationSettings(config), warnings };
}

function requireSets(count: number): void {
  if (count > 0) return;
  throw new InputError(
    "no questions: give --benchmark or --files, or set evaluation.files or evaluation.benchmarks in the YAML",
  );
}

/** Longest response where no configuration says it: room for a chain of thought. */
const BARE_MAX_TOKENS = 4096;

/** The parts of a configuration that an evaluation without one needs. */
function bareConfig(wishes: TargetOptions): Omit<PolicyConfig, "engine"> {
  const { reward = "math", tokenizer } = wishes;
  const defaults = {
    // The files of training are not read.
    data: dataSchema.parse({ files: "unused" }),
    evaluation: evaluationSchema.parse({}),
    reward: rewardSchema.parse({ functions: [{ name: reward }] }),
    sampling: { temperature: 1, topK: 0, topP: 1, maxTokens: BARE_MAX_TOKENS },
    tokenizer: tokenizer === undefined ? {} : { path: tokenizer },
    seed: 0,
  };
  return withWishes(defaults, wishes);
}

/** The command line wins over the configuration; benchmarks that it names replace the configuration's questions. */
export function withWishes<C extends Pick<RunConfig, "data" | "evaluation" | "seed">>(
  config: C,
  wishes: EvaluationWishes,
): C {
  const { files, benchmarks, samples, temperature, topP, maxTokens, greedy, limit } = wishes;
  const named = files !== undefined || benchmarks !== undefined;
  const evaluation = {
    ...config.evaluation,
    ...(named ? { files: files === undefined ? undefined : resolve(files), benchmarks: benchmarks ?? [] } : {}),
    ...(wishes.benchmarkDirectory === undefined ? {} : { benchmarkDirectory: resolve(wishes.benchmarkDirectory) }),
    ...(samples === undefined ? {} : { samples, benchmarkSamples: samples }),
    ...(temperature === undefined ? {} : { temperature }),
    ...(topP === undefined ? {} : { topP }),
    ...(maxTokens === undefined ? {} : { maxTokens }),
    ...(greedy === undefined ? {} : { greedy }),
    ...(limit === undefined ? {} : { limit }),
  };
  const checked = evaluationSchema.safeParse(evaluation);
  if (!checked.success) {
    const problems = checked.error.issues.map(({ path, message }) => ({
      path: ["evaluation", ...path.map(String)],
      message,
    }));
    throw new ConfigError(problems);
  }
  if (checked.data.temperature === 0 && checked.data.samples > 1) {
    throw new InputError(
      `${checked.data.samples} samples at temperature 0 are all the same; give --samples 1, or --greedy beside a temperature above 0`,
    );
  }
  const { system, promptTemplate, plain } = wishes;
  const data = {
    ...config.data,
    ...(system === undefined ? {} : { system }),
    ...(promptTemplate === undefined ? {} : { promptTemplate }),
    ...(plain === true ? { format: "plain" as const } : {}),
  };
  if (promptTemplate !== undefined && !promptTemplate.includes("{question}")) {
    throw new InputError("--prompt-template does not contain {question}: every prompt would be the same");
  }
  return { ...config, data, evaluation: checked.data, seed: wishes.seed ?? config.seed };
}

/** A model directory can only be put in the place of another one. */
function requireModelKey(file: string, overrides: readonly string[]): void {
  const { engine } = loadRunConfig({ file, overrides }).config;
  if (engine.type === "embedded") return;
  throw new InputError(
    `${file}: engine.type is ${engine.type}, which evaluates engine.baseModel on its server and no model directory. An exported adapter has to be merged first (docs/distributed.md); the checkpoint on the server can be named: eval tinker://… --tokenizer DIRECTORY; the run's own evaluations are in evaluations.jsonl`,
  );
}

function modelName(engine: RunConfig["engine"]): string | undefined {
  if (engine.type === "tinker") return engine.baseModel;
  return typeof engine.model === "string" ? engine.model : undefined;
}

/** Of the weights, without reading them: an evaluation that goes on must go on with the same model. */
export function fingerprint(engine: RunConfig["engine"]): { fingerprint?: string } {
  if (engine.type === "tinker") return {};
  const { model } = engine;
  if (typeof model !== "string") return { fingerprint: digest(model) };
  const files = readdirSync(model)
    .filter((name) => /\.(safetensors|json)$/.test(name))
    .sort()
    .map((name) => {
      const { size, mtimeMs } = statSync(join(model, name));
      return [name, size, mtimeMs];
    });
  return { fingerprint: digest(files) };
}

/** Directory name of an evaluation: the same command finds it again. */
export function evaluationName({ target, sets, settings }: PreparedEvaluation): string {
  const names = sets.map(({ name, questions, samples }) => [name, questions.length, samples]);
  const words =
    target.kind === "run" ? sets.map(({ name }) => name) : [basename(target.name), ...sets.map(({ name }) => name)];
  const slug = words
    .join("-")
    .replace(/[^\w.-]+/g, "-")
    .slice(0, 60);
  return `${slug}-${digest([target, names, settings])}`;
}

export function digest(value: unknown): string {
  return createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 8);
}
