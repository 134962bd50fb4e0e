/** A failure analysis as a person reads it. Pure. */
import type { CriticReport, FailureReport } from "../../evaluation/failures/report.js";
import { formatCount, formatPercent, formatTable } from "./format.js";

export function describeFailures(report: FailureReport): string {
  const { questions, tries, failed, pass1, passAtTries, refinedTries } = report;
  const head = [
    `${formatCount(questions)} questions, ${tries} tries each: pass@1 ${formatPercent(pass1.value)}, pass@${tries} ${formatPercent(passAtTries.value)}`,
    `${formatCount(failed)} persistent failures (no right response in ${tries} tries)${failed > 0 ? `; of each, ${refinedTries} tries were refined once` : ""}`,
  ];
  if (failed === 0) return head.join("\n");
  const rows = report.critics.map((entry) => [
    entry.critic === "none" ? "none (further tries)" : entry.critic,
    entry.critic === "none" ? "–" : `${formatCount(entry.critiques)}`,
    formatPercent(entry.validCritiqueRate),
    formatCount(entry.refinements),
    formatPercent(entry.validRefinementRate),
    `${formatCount(entry.solved)}/${formatCount(failed)}`,
    `${formatPercent(entry.solvedRate.value)} [${formatPercent(entry.solvedRate.low)}, ${formatPercent(entry.solvedRate.high)}]`,
    notes(entry),
  ]);
  const titles = ["critique", "written", "valid", "refinements", "right", "solved", "of the failures", ""];
  return [...head, "", formatTable([titles, ...rows])].join("\n");
}

function notes({ leaks, skipped }: CriticReport): string {
  return [
    ...(leaks > 0 ? [`${leaks} state the answer`] : []),
    ...(skipped > 0 ? [`${skipped} too long to refine`] : []),
  ].join(", ");
}
