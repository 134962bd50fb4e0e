/** Critics that say right or wrong, with or without the ground truth. */
import { type Critic, simpleCritique, simpleGroundTruthCritique } from "./critic.js";

export function createIndicativeCritic(kind: "simple" | "simple_gt"): Critic {
  return {
    async critique(requests) {
      return requests.map(({ question, response }) => ({
        kind,
        text:
          kind === "simple"
            ? simpleCritique(response.reward.correct)
            : simpleGroundTruthCritique(response.reward.correct, question.gold),
      }));
    },
  };
}
