/** The stages of a rollout in a row, as the training loop runs them. */
import type { Question } from "../data/question.js";
import { assembleGroup } from "../rollout/assemble.js";
import { addExpertSolutions } from "../rollout/expert.js";
import { sampleInitialResponses } from "../rollout/initial.js";
import type { TrainingGroup } from "../rollout/records.js";
import { refineResponses } from "../rollout/refine.js";
import type { RolloutContext } from "../rollout/sampling.js";

export async function collectGroups(
  questions: readonly Question[],
  context: RolloutContext,
): Promise<readonly TrainingGroup[]> {
  const refined = await refineResponses(await sampleInitialResponses(questions, context), context);
  const rollouts = await addExpertSolutions(refined, context);
  return rollouts.map((rollout) => assembleGroup(rollout, context));
}
