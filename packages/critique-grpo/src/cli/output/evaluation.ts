/** An evaluation as a person reads it. Pure. */
import type { EvaluationSummary, SourceSummary } from "../../evaluation/types.js";
import { formatCount, formatNumber, formatPercent, formatTable } from "./format.js";

export function describeSummary(summary: EvaluationSummary): string {
  const all = [...summary.sources, summary];
  // Sets may differ in samples: a column for each k that any of them has.
  const ks = [...new Set(all.flatMap(({ passAt }) => passAt.map(({ k }) => k)))].sort((a, b) => a - b).slice(1);
  const greedy = summary.greedy !== undefined;
  const majority = all.some((source) => source.majority !== undefined);
  const row = (source: SourceSummary): string[] => [
    source.dataSource,
    `${formatCount(source.questions)} × ${source.samples}`,
    `${formatPercent(source.pass1.value)} [${formatPercent(source.pass1.low)}, ${formatPercent(source.pass1.high)}]`,
    ...ks.map((k) => formatPercent(source.passAt.find((entry) => entry.k === k)?.value)),
    ...(majority ? [formatPercent(source.majority?.value)] : []),
    ...(greedy ? [formatPercent(source.greedy?.value)] : []),
    formatCount(source.persistentFailures),
    formatNumber(source.meanReward),
    formatNumber(source.lengths.mean),
    formatPercent(source.truncated),
  ];
  const head = [
    ...["source", "questions", "pass@1", ...ks.map((k) => `pass@${k}`)],
    ...(majority ? ["majority"] : []),
    ...(greedy ? ["greedy"] : []),
    ...["never solved", "reward", "tokens", "cut off"],
  ];
  const sources = summary.sources.length > 1 ? summary.sources.map(row) : [];
  const notes = [
    ...(summary.macro === undefined ? [] : [`mean of the sources' pass@1: ${formatPercent(summary.macro)}`]),
    `temperature ${formatNumber(summary.temperature)}${summary.generatedTokens > 0 ? `; ${formatCount(summary.generatedTokens)} tokens` : ""}`,
    ...(summary.rewardFailures > 0
      ? [`warning: the reward failed on ${summary.rewardFailures} responses; they count as wrong`]
      : []),
  ];
  return [formatTable([head, ...sources, row(summary)]), ...notes].join("\n");
}
