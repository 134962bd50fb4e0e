/** The metrics of a training step: their names, their meaning, and how they come from the records. */
import type { RunConfig } from "../config/schema.js";
import type {
  Critique,
  ExpertSolution,
  GroupMember,
  InitialResponse,
  Refinement,
  Response,
  TrainingGroup,
} from "../rollout/records.js";
import type { Stopwatch } from "../rollout/stopwatch.js";
import { mean, sampleStd } from "../statistics/descriptive.js";
import type { UpdateStatistics } from "./update-statistics.js";

/** NaN (null in files) where a metric has nothing to count. */
export type StepMetrics = Readonly<Record<string, number>>;

export interface StepOutcome {
  readonly groups: readonly TrainingGroup[];
  readonly update: UpdateStatistics;
  readonly stopwatch: Stopwatch;
  readonly stepSeconds: number;
  readonly config: Pick<RunConfig, "algorithm" | "critique" | "refinement" | "group">;
  readonly rewardNames: readonly string[];
  /** Tokens generated in the run before this step. */
  readonly generatedBefore: number;
}

/** Every metric of docs/metrics.md; its sections are the conditions below. */
export function stepMetrics(outcome: StepOutcome): StepMetrics {
  const { groups, update, config } = outcome;
  return {
    ...rewardMetrics(groups, outcome.rewardNames),
    ...lengthMetrics(groups),
    ...updateMetrics(update),
    ...(config.algorithm.klCoefficient > 0 ? { kl: update.kl.value } : {}),
    ...(config.algorithm.samplerCorrection === null ? {} : samplerMetrics(update)),
    ...(usesCritiques(config) ? critiqueMetrics(groups) : {}),
    ...(hasLanguageModelCritic(config) ? languageModelMetrics(groups) : {}),
    ...(config.critique.type === "teacher" ? teacherMetrics(groups) : {}),
    ...(config.refinement.count > 0 ? refinementMetrics(groups, update) : {}),
    ...(config.group.expert ? expertMetrics(groups, update) : {}),
    ...guardMetrics(update, config),
    ...(config.algorithm.objective === "supervised" ? targetMetrics(groups, update) : {}),
    ...costMetrics(outcome),
  };
}

/** All tokens that the policy sampled for these groups, its self-critiques included. */
export function generatedTokens(groups: readonly TrainingGroup[], config: Pick<RunConfig, "critique">): number {
  return (
    sum(allResponses(groups).map((response) => response.tokens.length)) +
    sum(selfCritiques(groups, config).map((critique) => critique.tokens?.completion ?? 0))
  );
}

/** Prompt tokens of the policy's sampling requests: a prompt counts once, however many responses were drawn from it. */
function promptTokens(groups: readonly TrainingGroup[], config: Pick<RunConfig, "critique">): number {
  const refined = groups.flatMap((group) => group.refinements.map((response) => response.samplingPrompt.length));
  const criticised = selfCritiques(groups, config).map((critique) => critique.tokens?.prompt ?? 0);
  return sum(groups.map((group) => group.prompt.length)) + sum(refined) + sum(criticised);
}

function rewardMetrics(groups: readonly TrainingGroup[], names: readonly string[]): StepMetrics {
  const initial = groups.flatMap((group) => group.initial);
  const groupRewards = groups.map((group) => answersOf(group).map(({ reward }) => reward.value));
  return {
    reward: mean(initial.map((response) => response.reward.value)),
    reward_std: mean(groupRewards.map(sampleStd)),
    frac_reward_zero_std: fraction(groupRewards, (rewards) => rewards.every((reward) => reward === rewards[0])),
    initial_accuracy: fraction(initial, isCorrect),
    ...Object.fromEntries(names.map((name) => [`rewards/${name}/mean`, mean(partValues(initial, name))])),
    "reward/group_mean": mean(groupRewards.flat()),
    "reward/failures": count(allResponses(groups), (response) => response.reward.failure !== undefined),
  };
}

/** Responses for which this reward function failed have no value. */
function partValues(responses: readonly Response[], name: string): number[] {
  return responses.map((response) => response.reward.parts[name]).filter((value) => value !== undefined);
}

function lengthMetrics(groups: readonly TrainingGroup[]): StepMetrics {
  const initial = groups.flatMap((group) => group.initial);
  const lengths = initial.map((response) => response.tokens.length);
  return {
    "completions/mean_length": mean(lengths),
    "completions/min_length": Math.min(...lengths),
    "completions/max_length": Math.max(...lengths),
    "completions/clipped_ratio": fraction(initial, isTruncated),
  };
}

function updateMetrics(update: UpdateStatistics): StepMetrics {
  return {
    loss: update.loss.value,
    entropy: update.entropy.value,
    grad_norm: update.gradNorm.value,
    lr: update.learningRate,
    skipped_updates: update.skipped,
    empty_updates: update.empty,
    "clip_ratio/low_mean": update.clippedLow.value,
    "clip_ratio/high_mean": update.clippedHigh.value,
    "sampling/logp_difference": update.logprobDifference.value,
    "sampling/logp_difference_max": update.maxLogprobDifference,
  };
}

function samplerMetrics({ sampler }: UpdateStatistics): StepMetrics {
  return {
    "sampling/importance_weight": sampler.weight.value,
    "sampling/importance_capped": sampler.capped.value,
    "sampling/importance_ratio_max": sampler.maxRatio,
    "sampling/kl": sampler.kl.value,
  };
}

function critiqueMetrics(groups: readonly TrainingGroup[]): StepMetrics {
  const critiques = allCritiques(groups);
  return {
    "critique/count": critiques.length,
    "critique/failures": count(critiques, (critique) => critique.failure !== undefined),
    "critique/cut": count(critiques, (critique) => critique.cutFrom !== undefined),
    "critique/mean_characters": mean(critiques.map((critique) => critique.text.length)),
  };
}

function languageModelMetrics(groups: readonly TrainingGroup[]): StepMetrics {
  const asked = allCritiques(groups).filter((critique) => critique.prompt !== undefined);
  const written = asked.filter((critique) => critique.failure === undefined);
  const judged = written.filter((critique) => critique.agreement !== undefined);
  const tokens = asked.flatMap((critique) => critique.tokens ?? []);
  return {
    "critique/written": written.length,
    "critique/verdict_rate": fraction(written, (critique) => critique.verdict !== null),
    "critique/agreement": fraction(judged, (critique) => critique.agreement === true),
    "critique/leak_rate": fraction(written, (critique) => critique.leak === true),
    "critique/clipped_ratio": fraction(written, (critique) => critique.stopReason === "length"),
    "critique/mean_latency": mean(asked.flatMap((critique) => critique.latencyMs ?? [])) / 1000,
    "critique/tokens_in": sum(tokens.map(({ prompt }) => prompt)),
    "critique/tokens_out": sum(tokens.map(({ completion }) => completion)),
  };
}

function teacherMetrics(groups: readonly TrainingGroup[]): StepMetrics {
  const critiques = allCritiques(groups);
  const costs = critiques.flatMap(({ cost }) => cost ?? []);
  const unused = groups.flatMap(({ initial, refinements, members }) =>
    initial.filter(
      ({ index, critique, refinementSkipped }) =>
        critique !== undefined &&
        refinementSkipped === undefined &&
        !refinements.some(({ refines }) => refines === index) &&
        !members.some(({ response }) => response.kind === "critique" && response.judges === index),
    ),
  );
  return {
    "critique/calls": sum(critiques.map(({ calls }) => calls ?? 0)),
    "critique/cached": count(critiques, ({ cached }) => cached === true),
    "critique/unused": unused.length,
    "critique/cost": costs.length === 0 ? Number.NaN : sum(costs),
  };
}

function hasLanguageModelCritic({ critique }: Pick<RunConfig, "critique">): boolean {
  return "responses" in critique;
}

function allCritiques(groups: readonly TrainingGroup[]): Critique[] {
  return groups.flatMap((group) => group.initial.flatMap((response) => response.critique ?? []));
}

function selfCritiques(groups: readonly TrainingGroup[], { critique }: Pick<RunConfig, "critique">): Critique[] {
  return critique.type === "self" ? allCritiques(groups) : [];
}

function refinementMetrics(groups: readonly TrainingGroup[], update: UpdateStatistics): StepMetrics {
  const refinements = groups.flatMap((group) => group.refinements);
  const kept = groups.flatMap((group) => membersOf(group, "refinement"));
  const ofWrong = groups.flatMap((group) => group.refinements.filter((r) => !isCorrect(group.initial[r.refines]!)));
  const ofRight = groups.flatMap((group) => group.refinements.filter((r) => isCorrect(group.initial[r.refines]!)));
  return {
    "refinement/count": refinements.length,
    "refinement/kept": kept.length,
    "refinement/skipped": count(
      groups.flatMap((group) => group.initial),
      (response: InitialResponse) => response.refinementSkipped !== undefined,
    ),
    "refinement/accuracy": fraction(refinements, isCorrect),
    "refinement/kept_accuracy": fraction(
      kept.map(({ response }) => response),
      isCorrect,
    ),
    "refinement/fix_rate": fraction(ofWrong, isCorrect),
    "refinement/break_rate": fraction(ofRight, (refinement: Refinement) => !isCorrect(refinement)),
    "refinement/frac_groups_without_correct": fraction(groups, (group) => !group.refinements.some(isCorrect)),
    "refinement/mean_advantage": mean(kept.map(({ advantage }) => advantage)),
    "refinement/mean_length": mean(refinements.map((refinement) => refinement.tokens.length)),
    "refinement/clipped_ratio": fraction(refinements, isTruncated),
    ...offPolicyMetrics("refinement", update),
  };
}

/** What the update tells of sequences that the policy did not draw as answers to their prompt. */
function offPolicyMetrics(origin: "refinement" | "expert", update: UpdateStatistics): StepMetrics {
  const { probability, shapedProbability } = update.byOrigin[origin];
  return {
    [`${origin}/mean_probability`]: probability.value,
    [`${origin}/shaped_probability`]: shapedProbability.value,
    [`${origin}/token_share`]: update.tokenShare(origin),
    [`${origin}/gradient_share`]: update.gradientShare(origin),
  };
}

function expertMetrics(groups: readonly TrainingGroup[], update: UpdateStatistics): StepMetrics {
  const solutions = groups.flatMap((group) => membersOf(group, "expert"));
  return {
    "expert/accuracy": fraction(solutions, ({ response }) => response.reward.correct),
    "expert/mean_advantage": mean(solutions.map(({ advantage }) => advantage)),
    "expert/mean_length": mean(solutions.map(({ response }) => response.tokens.length)),
    ...offPolicyMetrics("expert", update),
  };
}

function guardMetrics(update: UpdateStatistics, { algorithm }: Pick<RunConfig, "algorithm">): StepMetrics {
  const { maxGradientShare, importanceCap, annealing } = algorithm.offPolicy;
  return {
    ...(maxGradientShare === null ? {} : { "off_policy/share_scale": update.shareScale.value }),
    ...(importanceCap === null
      ? {}
      : {
          "off_policy/importance_weight": update.importance.value,
          "off_policy/importance_capped": update.importanceCapped.value,
        }),
    ...(annealing === null ? {} : { "off_policy/annealing": update.annealing.value }),
  };
}

function targetMetrics(groups: readonly TrainingGroup[], update: UpdateStatistics): StepMetrics {
  const targets = (kind: MemberKind) => sum(groups.map((group) => membersOf(group, kind).length));
  return {
    mean_probability: update.probability,
    "targets/initial": targets("initial"),
    "targets/refinement": targets("refinement"),
    "targets/expert": targets("expert"),
    "targets/critique": targets("critique"),
    "targets/skipped_critiques": count(
      groups.flatMap((group) => group.initial),
      (response: InitialResponse) => response.critiqueSkipped !== undefined,
    ),
  };
}

function costMetrics({ groups, update, stopwatch, stepSeconds, generatedBefore, config }: StepOutcome): StepMetrics {
  const generated = generatedTokens(groups, config);
  return {
    "tokens/generated": generated,
    "tokens/generated_total": generatedBefore + generated,
    "tokens/trained": update.trainedTokens,
    "tokens/in_sampling": promptTokens(groups, config),
    "tokens/in_training": update.passedTokens,
    "tokens/padding_share": update.paddingShare,
    "tokens/shared_prompt_share": update.sharedPromptShare,
    "seconds/step": stepSeconds,
    "seconds/sample": stopwatch.seconds("sample"),
    "seconds/reward": stopwatch.seconds("reward"),
    "seconds/update": stopwatch.seconds("update"),
    ...(usesCritiques(config) ? { "seconds/critique": stopwatch.seconds("critique") } : {}),
    ...(config.refinement.count > 0 ? { "seconds/refine": stopwatch.seconds("refine") } : {}),
    ...(config.algorithm.klCoefficient > 0 ? { "seconds/reference": stopwatch.seconds("reference") } : {}),
  };
}

function usesCritiques({ refinement, group }: StepOutcome["config"]): boolean {
  return refinement.count > 0 || group.critiques;
}

type MemberKind = GroupMember["response"]["kind"];
type MemberOf<K extends MemberKind> = GroupMember & { readonly response: { readonly kind: K } };

function membersOf<K extends MemberKind>(group: TrainingGroup, kind: K): MemberOf<K>[] {
  return group.members.filter((member): member is MemberOf<K> => member.response.kind === kind);
}

/** The members that have a reward. */
function answersOf(group: TrainingGroup): (Response | ExpertSolution)[] {
  return group.members.flatMap(({ response }) => (response.kind === "critique" ? [] : [response]));
}

const isCorrect = (response: Response) => response.reward.correct;
const isTruncated = (response: Response) => response.stopReason === "length";

function allResponses(groups: readonly TrainingGroup[]): Response[] {
  return groups.flatMap((group): Response[] => [...group.initial, ...group.refinements]);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function count<T>(items: readonly T[], test: (item: T) => boolean): number {
  return items.reduce((total, item) => total + (test(item) ? 1 : 0), 0);
}

/** NaN for an empty list. */
function fraction<T>(items: readonly T[], test: (item: T) => boolean): number {
  return count(items, test) / items.length;
}
