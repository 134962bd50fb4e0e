/** Stage three of a rollout: select what is trained on, put the training group together, compare its members. */
import { groupAdvantages } from "../algorithm/advantages.js";
import { selectRefinements } from "../algorithm/selection.js";
import { DEFAULT_CRITIQUE_TARGET_TEMPLATE, encodeCritiqueTarget } from "../feedback/critique-target.js";
import type { Policy, TextCodec } from "../policy/policy.js";
import type {
  CritiqueTarget,
  ExpertSolution,
  GroupMember,
  InitialResponse,
  Response,
  TrainingGroup,
} from "./records.js";
import type { QuestionRollout, RolloutConfig } from "./sampling.js";

export interface AssemblyContext {
  readonly config: RolloutConfig;
  /** Critiques become targets with it. */
  readonly codec: TextCodec;
  readonly policy: { readonly info: Pick<Policy["info"], "contextLength"> };
}

/**
 * The initial responses that stay, the selected refinements, the expert solution and the critiques, as `group` and
 * `refinement` say. A policy gradient compares the members' rewards; supervised targets all have the advantage 1.
 */
export function assembleGroup(rollout: QuestionRollout, context: AssemblyContext): TrainingGroup {
  const { config } = context;
  const { group, refinement, algorithm } = config;
  const { question, prompt, refinements, expert } = rollout;
  const { targets, initial } = group.critiques
    ? critiqueTargets(rollout, context)
    : { targets: [], initial: rollout.initial };
  const answers: (Response | ExpertSolution)[] = [
    ...initial.filter((response) => isKept(response, group.initial)),
    ...selectRefinements(refinements, refinement),
    ...(expert === null ? [] : [expert]),
  ];
  const members = [...withAdvantages(answers, algorithm), ...targets.map((response) => ({ response, advantage: 1 }))];
  return { question, prompt, initial, refinements, members };
}

function isKept(response: InitialResponse, which: RolloutConfig["group"]["initial"]): boolean {
  switch (which) {
    case "all":
      return true;
    case "correct":
      return response.reward.correct;
    case "none":
      return false;
    default:
      throw new RangeError(`Unknown initial responses ${String(which satisfies never)}`);
  }
}

function withAdvantages(
  answers: readonly (Response | ExpertSolution)[],
  { objective, advantage }: RolloutConfig["algorithm"],
): GroupMember[] {
  if (objective === "supervised") return answers.map((response) => ({ response, advantage: 1 }));
  const advantages = groupAdvantages(
    answers.map((response) => response.reward.value),
    advantage,
  );
  return answers.map((response, i) => ({ response, advantage: advantages[i]! }));
}

/** Every critique that its critic wrote; of the others the responses tell why not. */
function critiqueTargets(
  rollout: QuestionRollout,
  context: AssemblyContext,
): { targets: CritiqueTarget[]; initial: InitialResponse[] } {
  const targets: CritiqueTarget[] = [];
  const initial = rollout.initial.map((response) => {
    if (response.critique === undefined) return response;
    const target = critiqueTarget(rollout, response, context);
    if (typeof target === "string") return { ...response, critiqueSkipped: target };
    targets.push(target);
    return response;
  });
  return { targets, initial };
}

/** The target, or why there is none. */
function critiqueTarget(
  { question }: QuestionRollout,
  { index, text, critique }: InitialResponse,
  { config, codec, policy }: AssemblyContext,
): CritiqueTarget | string {
  if (critique!.failure !== undefined) return `the critic failed: ${critique!.failure}`;
  if (critique!.stopReason === "length" || critique!.cutFrom !== undefined) return "the critique was cut off";
  const template = config.group.critiqueTemplate ?? DEFAULT_CRITIQUE_TARGET_TEMPLATE;
  try {
    const { prompt, response: tokens } = encodeCritiqueTarget(codec, template, question, text, critique!.text);
    const { contextLength } = policy.info;
    if (prompt.length + tokens.length <= contextLength) return { kind: "critique", judges: index, prompt, tokens };
    return `question, response and critique have ${prompt.length + tokens.length} tokens, the context holds ${contextLength}`;
  } catch (error) {
    return `the critique cannot be encoded: ${error instanceof Error ? error.message : String(error)}`;
  }
}
