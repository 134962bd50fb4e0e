import { bootstrapMean } from "../statistics/bootstrap.js";
import { mean } from "../statistics/descriptive.js";
import { passAtK, passAtKLadder } from "./pass-at-k.js";
import type { EvaluatedQuestion, EvaluationSummary, SourceSummary } from "./types.js";

/** The numbers of an evaluation from its scored responses. Pure. */
export function summarise(
  questions: readonly EvaluatedQuestion[],
  { temperature }: { readonly temperature: number },
  seconds: number,
): EvaluationSummary {
  const bySource = new Map<string, EvaluatedQuestion[]>();
  for (const entry of questions) {
    const entries = bySource.get(entry.question.dataSource);
    if (entries) entries.push(entry);
    else bySource.set(entry.question.dataSource, [entry]);
  }
  const sources = [...bySource].map(([dataSource, entries]) => summariseSource(dataSource, entries));
  const drawn = questions.flatMap(({ responses, greedy }) => (greedy ? [...responses, greedy] : responses));
  return {
    ...summariseSource("all", questions),
    temperature,
    sources,
    ...(sources.length > 1 ? { macro: mean(sources.map(({ pass1 }) => pass1.value)) } : {}),
    rewardFailures: drawn.filter(({ reward }) => reward.failure !== undefined).length,
    generatedTokens: drawn.reduce((sum, { length }) => sum + (Number.isNaN(length) ? 0 : length), 0),
    seconds,
  };
}

function summariseSource(dataSource: string, questions: readonly EvaluatedQuestion[]): SourceSummary {
  const counts = questions.map(({ responses }) => ({
    samples: responses.length,
    correct: responses.filter(({ reward }) => reward.correct).length,
  }));
  const samples = counts.reduce((fewest, count) => Math.min(fewest, count.samples), Number.POSITIVE_INFINITY);
  const responses = questions.flatMap((entry) => entry.responses);
  const lengths = responses.map(({ length }) => length);
  const greedy = questions.flatMap((entry) => (entry.greedy ? [entry.greedy.reward.correct ? 1 : 0] : []));
  const majority = questions.flatMap((entry) => (entry.majority ? [entry.majority.correct ? 1 : 0] : []));
  return {
    dataSource,
    questions: questions.length,
    samples,
    pass1: bootstrapMean(counts.map((count) => count.correct / count.samples)),
    passAt: passAtKLadder(samples).map((k) => ({
      k,
      ...bootstrapMean(counts.map((count) => passAtK(count.samples, count.correct, k))),
    })),
    // A mean over those that could vote alone would be of other questions than pass@1.
    ...(majority.length === questions.length ? { majority: bootstrapMean(majority) } : {}),
    ...(greedy.length > 0 ? { greedy: bootstrapMean(greedy) } : {}),
    persistentFailures: counts.filter(({ correct }) => correct === 0).length,
    meanReward: mean(responses.map(({ reward }) => reward.value)),
    lengths: {
      mean: mean(lengths),
      min: lengths.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY),
      max: lengths.reduce((a, b) => Math.max(a, b), 0),
    },
    truncated: responses.filter(({ stopReason }) => stopReason === "length").length / responses.length,
  };
}
