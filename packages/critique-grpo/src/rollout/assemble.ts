/** Stage three of a rollout: select refinements, put the training group together, compare its members. */
import { groupAdvantages } from "../algorithm/advantages.js";
import { selectRefinements } from "../algorithm/selection.js";
import type { TrainingGroup } from "./records.js";
import type { QuestionRollout, RolloutConfig } from "./sampling.js";

/** Every initial response and the selected refinements, with their advantages over the group. */
export function assembleGroup(rollout: QuestionRollout, config: RolloutConfig): TrainingGroup {
  const { question, prompt, initial, refinements } = rollout;
  const { count, onlyCorrect } = config.refinement;
  const responses = [...initial, ...selectRefinements(refinements, count, onlyCorrect)];
  const advantages = groupAdvantages(
    responses.map((response) => response.reward.value),
    config.algorithm.advantage,
  );
  const members = responses.map((response, i) => ({ response, advantage: advantages[i]! }));
  return { question, prompt, initial, refinements, members };
}
