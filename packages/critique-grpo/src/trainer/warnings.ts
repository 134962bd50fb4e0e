/** What went wrong in a step without ending it. */
import type { TrainingGroup } from "../rollout/records.js";
import type { UpdateStatistics } from "./update-statistics.js";

/** Rounding in bfloat16 stays well below; a wrong temperature or prompt is above. */
const LOGPROB_TOLERANCE = 0.1;

/** One message for each kind of trouble, with its count and the first reason. */
export function stepWarnings(groups: readonly TrainingGroup[], update: UpdateStatistics): string[] {
  const initial = groups.flatMap((group) => group.initial);
  const responses = [...initial, ...groups.flatMap((group) => group.refinements)];
  const warnings: string[] = [];
  const report = (what: string, reasons: readonly (string | undefined)[]) => {
    const found = reasons.filter((reason) => reason !== undefined);
    if (found.length > 0) warnings.push(`${found.length} ${what}; the first: ${found[0]}`);
  };
  report(
    "responses could not be scored and count as 0",
    responses.map((response) => response.reward.failure),
  );
  report(
    "critiques failed and were replaced by simple_gt",
    initial.map((response) => response.critique?.failure),
  );
  report(
    "critiques were cut to fit the context",
    initial.map(({ critique }) =>
      critique?.cutFrom === undefined
        ? undefined
        : `${critique.text.length} of ${critique.cutFrom} characters are left`,
    ),
  );
  report(
    "responses could not be refined",
    initial.map((response) => response.refinementSkipped),
  );
  report(
    "critiques could not be trained on",
    initial.map((response) => response.critiqueSkipped),
  );
  if (update.skipped > 0) {
    warnings.push(
      `${update.skipped} of ${update.optimizerSteps} optimizer steps were skipped: the gradient was not finite`,
    );
  }
  // With a correction it is expected, and its metrics tell how far they are apart.
  const corrected = update.sampler.weight.count > 0;
  if (!corrected && update.logprobDifference.value > LOGPROB_TOLERANCE) {
    warnings.push(
      `sampler and trainer disagree: their log-probabilities of the same tokens differ by ${update.logprobDifference.value.toPrecision(2)} on average, so importance ratios are wrong; a difference of precision alone is what algorithm.samplerCorrection is for`,
    );
  }
  return warnings;
}
