/** What the critics of a run said, over all steps. */
import type { CritiqueExample, CritiqueReport, GroupFlag } from "@critique-grpo/dashboard";
import { flagBit } from "../data/group-facts.js";
import type { RolloutIndex } from "../data/rollout-index.js";

const EXAMPLES_A_FLAG = 12;
const EXAMPLE_FLAGS: readonly GroupFlag[] = ["critic-disagrees", "leak", "critic-failed"];

export async function critiqueReport(index: RolloutIndex): Promise<CritiqueReport> {
  const { critics, table } = await index.touch();
  const examples: CritiqueExample[] = [];
  for (const flag of EXAMPLE_FLAGS) {
    let found = 0;
    for (let row = table.rows - 1; row >= 0 && found < EXAMPLES_A_FLAG; row--) {
      if ((table.flagBitsAt(row) & flagBit(flag)) === 0) continue;
      found++;
      const { step, line, questionId } = table.at(row);
      examples.push({ step, line, questionId, flag });
    }
  }
  return { critics: critics.rows(), examples, index: index.progress() };
}
