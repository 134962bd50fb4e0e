export * from "./config/define.js";
export { ConfigError, InputError } from "./config/errors.js";
export { type PresetName, presetDescriptions, presets } from "./config/presets.js";
export { loadRunConfig, resolveRunConfig } from "./config/run.js";
export type * from "./config/schema.js";
export type * from "./config/sft-schema.js";
export { loadUserModule } from "./config/user-module.js";
export { type DashboardOptions, type RunningDashboard, startDashboard } from "./dashboard/index.js";
export { type LocatedQuestion, loadQuestions } from "./data/load.js";
export type * from "./data/question.js";
export { type BenchmarkSource, benchmarkNamed, loadBenchmark, type PromptStyle } from "./evaluation/benchmarks/load.js";
export { type Benchmark, benchmarks } from "./evaluation/benchmarks/registry.js";
export {
  EvaluationDirectory,
  type EvaluationManifest,
  type GenerationRecord,
  readEvaluationQuestions,
  readGenerations,
  readManifest,
  readSummary,
} from "./evaluation/directory.js";
export { evaluate } from "./evaluation/evaluate.js";
export { type Attempt, analyseFailures, type FailureOptions } from "./evaluation/failures/analyse.js";
export { type CriticReport, type FailureReport, failureReport } from "./evaluation/failures/report.js";
export { type EndpointOptions, endpointGenerator } from "./evaluation/generators/endpoint.js";
export type { ResponseGenerator } from "./evaluation/generators/generator.js";
export { policyGenerator } from "./evaluation/generators/policy.js";
export { type MeasureOptions, measure } from "./evaluation/measure.js";
export type * from "./evaluation/types.js";
export { builtInVerifier, createVerifier } from "./evaluation/verifier.js";
export type { Critic, CriticRun, CritiqueRequest } from "./feedback/critique/critic.js";
export { type CritiqueFunction, createProgramCritic } from "./feedback/critique/program.js";
export { resolveCritic } from "./feedback/critique/resolve.js";
export { builtInRewards, type ModuleLoader, resolveRewards } from "./feedback/reward/resolve.js";
export {
  createScorer,
  type RewardFunction,
  type RewardSample,
  type Scorer,
  type WeightedReward,
} from "./feedback/reward/reward.js";
export {
  type FigureLine,
  type FigurePanel,
  type FigurePoint,
  renderLineFigure,
} from "./figure/line-figure.js";
export { type OpenPolicyOptions, openPolicy } from "./policy/open.js";
export type * from "./policy/policy.js";
export type * from "./rollout/records.js";
export type { EventSink, RunEvent, RunPhase } from "./run/events.js";
export * from "./run/readers.js";
export type {
  EvaluationRecord,
  EventRecord,
  MetricsRecord,
  RolloutRecord,
  RunState,
  StatusRecord,
} from "./run/records.js";
export { type RunningServer, type ServeOptions, startServer } from "./serve/index.js";
export { openConfiguredPolicy, type PreparedRun, prepareRun } from "./setup/prepare.js";
export { encodePair, loadPairs, type TextPair } from "./sft/pairs.js";
export { type SftOptions, type SftSettings, sft } from "./sft/sft.js";
export { exportTensorBoard, tensorBoardSink } from "./sinks/tensorboard/tensorboard.js";
export { tInterval } from "./statistics/student-t.js";
export { HuggingFaceTextCodec, loadTextCodec } from "./text/codec.js";
export { encodePrompt } from "./text/prompt.js";
export * from "./text/write-tokenizer.js";
export type { StepMetrics } from "./trainer/metrics.js";
export { type EvaluationHook, type TrainOptions, type TrainResult, train } from "./trainer/train.js";
