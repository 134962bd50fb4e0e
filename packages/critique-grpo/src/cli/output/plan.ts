/** What a dry run prints: the run in numbers. Pure. */
import type { RunConfig } from "../../config/schema.js";
import { describeMemory, type MemoryPlan } from "../../policy/memory-plan.js";
import type { PolicyInfo } from "../../policy/policy.js";
import type { PreparedRun } from "../../setup/prepare.js";
import { formatCount } from "./format.js";

/** What the run would do, in numbers. */
export function describePlan(
  config: RunConfig,
  run: PreparedRun | null,
  info: PolicyInfo,
  runDirectory: string,
  memory: MemoryPlan | null = null,
): string {
  const { steps, questionsPerStep, miniBatches, algorithm, refinement, sampling, checkpoint } = config;
  const { initialResponses } = algorithm;
  const refined = refinement.count > 0 ? initialResponses : 0;
  const criticised = config.critique.type === "self" ? initialResponses * config.critique.sampling.maxTokens : 0;
  const tokens =
    questionsPerStep *
    (initialResponses * sampling.maxTokens + criticised + refined * (refinement.maxTokens ?? sampling.maxTokens));
  const rows: [string, string][] = [
    ["model", `${info.model}: ${describeModel(info)}, context ${formatCount(info.contextLength)}`],
    [
      "data",
      run === null
        ? "not here"
        : `${formatCount(run.questions.length)} questions, longest prompt ${formatCount(run.longestPrompt)} tokens`,
    ],
    [
      "steps",
      `${formatCount(steps)} of ${formatCount(questionsPerStep)} questions${run === null ? "" : `: ${epochs(config, run.questions.length)} passes over the data`}`,
    ],
    [
      "responses",
      `at most ${formatCount(questionsPerStep * (initialResponses + refined))} a step, ${formatCount(tokens)} tokens a step${criticised > 0 ? " with critiques" : ""}`,
    ],
    [
      "optimizer",
      `${formatCount(steps * miniBatches)} steps, ${config.optimizer.schedule} learning rate up to ${config.optimizer.learningRate}`,
    ],
    ...describeServer(config),
    ...describeAdapters(config),
    ...describeRollouts(config),
    ...(memory === null ? [] : [["memory", describeMemory(memory)] as [string, string]]),
    ["critique", describeCritic(config)],
    ["trained on", describeGroup(config)],
    ["evaluation", describeEvaluation(config, run)],
    [
      "checkpoints",
      checkpoint.every === 0 ? "at the end and on Ctrl-C" : `every ${checkpoint.every} steps, ${checkpoint.keep} kept`,
    ],
    ["run directory", runDirectory],
  ];
  const widest = Math.max(...rows.map(([name]) => name.length));
  return ["Plan (nothing was started):", ...rows.map(([name, text]) => `  ${name.padEnd(widest)}  ${text}`)].join("\n");
}

function describeEvaluation({ evaluation }: RunConfig, run: PreparedRun | null): string {
  if (evaluation.files === undefined && evaluation.benchmarks.length === 0) return "none";
  const when = evaluation.every === 0 ? "before and after" : `every ${evaluation.every} steps`;
  const sets = run?.evaluationSets.map(
    ({ name, questions, samples }) => `${name}: ${formatCount(questions.length)} questions × ${samples}`,
  );
  return [...(sets ?? ["held-out questions"]), when].join(", ");
}

/** The members of a training group and what is done with them. */
function describeGroup({ algorithm, group, refinement }: RunConfig): string {
  const supervised = algorithm.objective === "supervised";
  const members = [
    group.initial === "none"
      ? ""
      : `${group.initial === "correct" ? "right ones of " : ""}${algorithm.initialResponses} responses`,
    refinement.count === 0 ? "" : `${refinement.count} ${refinement.onlyCorrect ? "right " : ""}refinement(s)`,
    group.expert ? "the reference solution" : "",
    group.critiques ? "critiques" : "",
  ].filter((member) => member !== "");
  return `${members.join(", ")} a question, ${supervised ? "cross-entropy" : "policy gradient"}`;
}

function epochs({ steps, questionsPerStep }: RunConfig, questions: number): string {
  return ((steps * questionsPerStep) / questions).toFixed(2);
}

function describeCritic({ critique }: RunConfig): string {
  if (!("responses" in critique)) return critique.type;
  const asked = critique.responses === "wrong" ? "wrong responses" : "all responses";
  switch (critique.type) {
    case "self":
      return `self, ${asked}`;
    case "checkpoint":
      return `checkpoint ${critique.model}, ${asked}`;
    case "teacher": {
      const { calls, tokens } = critique.budget;
      const limits = [
        calls === undefined ? [] : `${formatCount(calls)} calls`,
        tokens === undefined ? [] : `${formatCount(tokens)} tokens`,
      ].flat();
      const budget = limits.length === 0 ? "no budget set" : `at most ${limits.join(" and ")}`;
      const key = critique.apiKeyVariable === null ? "no key" : `key from ${critique.apiKeyVariable}`;
      return `teacher ${critique.model} at ${critique.baseUrl} (${key}; not asked now), ${asked}, ${budget}`;
    }
    default:
      throw new RangeError(`Unknown critic ${String(critique satisfies never)}`);
  }
}

/** Size where it is known, and place. */
export function describeModel({ parameterCount, device }: PolicyInfo): string {
  return Number.isFinite(parameterCount) ? `${formatCount(parameterCount)} parameters on ${device}` : `on ${device}`;
}

function describeAdapters({ engine }: RunConfig): [string, string][] {
  if (engine.type !== "embedded" || !engine.lora) return [];
  const { rank, alpha, targets } = engine.lora;
  const matrices = targets === "all-linear" ? "every matrix of the layers" : targets.join(", ");
  return [["adapters", `LoRA of rank ${rank}, alpha ${alpha}, on ${matrices}`]];
}

/** Where rollouts are not drawn from the trained policy itself, or are corrected as if. */
function describeRollouts({ engine, algorithm }: RunConfig): [string, string][] {
  const int8 = engine.type === "embedded" && engine.rolloutPrecision === "int8";
  const { samplerCorrection, objective } = algorithm;
  if (!int8 && samplerCorrection === null) return [];
  const corrected =
    samplerCorrection === null
      ? `no correction${objective === "supervised" ? "" : " (algorithm.samplerCorrection)"}`
      : `tokens weighed by π / μ up to ${samplerCorrection.cap}`;
  return [["rollouts", `${int8 ? "in int8, " : ""}${corrected}`]];
}

function describeServer({ engine, algorithm }: RunConfig): [string, string][] {
  if (engine.type !== "tinker") return [];
  const { entropyCoefficient } = algorithm;
  const entropy = entropyCoefficient > 0 ? `, entropy bonus ${entropyCoefficient} estimated` : "";
  const adapters = engine.loraRank === 0 ? "full fine-tuning" : `LoRA of rank ${engine.loraRank}`;
  return [["server", `${engine.baseUrl}, ${adapters}, dialect ${engine.dialect}${entropy}`]];
}
