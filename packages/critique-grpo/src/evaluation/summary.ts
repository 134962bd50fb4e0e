import { bootstrapMean, mean } from "./bootstrap.js";
import { passAtK, passAtKLadder } from "./pass-at-k.js";
import type { EvaluatedQuestion, EvaluationOptions, EvaluationSummary, SourceSummary } from "./types.js";

/** The numbers of an evaluation from its scored responses. Pure. */
export function summarise(
  questions: readonly EvaluatedQuestion[],
  options: Pick<EvaluationOptions, "samples" | "temperature">,
  seconds: number,
): EvaluationSummary {
  const bySource = new Map<string, EvaluatedQuestion[]>();
  for (const entry of questions) {
    const entries = bySource.get(entry.question.dataSource);
    if (entries) entries.push(entry);
    else bySource.set(entry.question.dataSource, [entry]);
  }
  const responses = questions.flatMap((entry) => entry.responses);
  const drawn = [...responses, ...questions.flatMap((entry) => (entry.greedy ? [entry.greedy] : []))];
  const lengths = responses.map((response) => response.length);
  return {
    ...summariseSource("all", questions, options.samples),
    samples: options.samples,
    temperature: options.temperature,
    sources: [...bySource].map(([dataSource, entries]) => summariseSource(dataSource, entries, options.samples)),
    lengths: {
      mean: mean(lengths),
      min: lengths.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY),
      max: lengths.reduce((a, b) => Math.max(a, b), 0),
    },
    truncated: responses.filter((response) => response.stopReason === "length").length / responses.length,
    rewardFailures: drawn.filter((response) => response.reward.failure !== undefined).length,
    generatedTokens: drawn.reduce((sum, response) => sum + response.length, 0),
    seconds,
  };
}

function summariseSource(dataSource: string, questions: readonly EvaluatedQuestion[], samples: number): SourceSummary {
  const correct = questions.map((entry) => entry.responses.filter((response) => response.reward.correct).length);
  const greedy = questions.flatMap((entry) => (entry.greedy ? [entry.greedy.reward.correct ? 1 : 0] : []));
  return {
    dataSource,
    questions: questions.length,
    pass1: bootstrapMean(correct.map((count) => count / samples)),
    passAt: passAtKLadder(samples).map((k) => ({
      k,
      ...bootstrapMean(correct.map((count) => passAtK(samples, count, k))),
    })),
    ...(greedy.length > 0 ? { greedy: bootstrapMean(greedy) } : {}),
    persistentFailures: correct.filter((count) => count === 0).length,
    meanReward: mean(questions.flatMap((entry) => entry.responses.map((response) => response.reward.value))),
  };
}
