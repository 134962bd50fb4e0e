/** The questions of one seed: training, held-out and out-of-distribution sets, disjoint, as rows of a JSONL file. */
import { createRandom, type Random } from "./random.js";
import { type Addition, drawQuestion, formatQuestion, formatResponse, goldAnswer, trueColumns } from "./task.js";

/** Share of the questions with 0, 1, 2, 3 carries. One carry is never trained: it is the out-of-distribution set. */
export const CARRY_WEIGHTS: readonly number[] = [1, 0, 2, 1];
export const OUT_OF_DISTRIBUTION_CARRIES = 1;

export interface QuestionRow {
  readonly id: string;
  /** `carries-N`: evaluations report each number of carries on its own. */
  readonly data_source: string;
  readonly question: string;
  readonly answer: string;
  /** The right response: what an expert would write. */
  readonly solution: string;
}

export interface SplitSizes {
  readonly train: number;
  readonly heldOut: number;
  readonly outOfDistribution: number;
}

export interface Splits {
  readonly train: readonly QuestionRow[];
  readonly heldOut: readonly QuestionRow[];
  readonly outOfDistribution: readonly QuestionRow[];
}

/** The same seed gives the same questions; no question is in two sets, or twice in one. */
export function makeSplits(seed: number, sizes: SplitSizes): Splits {
  const random = createRandom(seed, "questions");
  const seen = new Set<string>();
  const onlyOne = CARRY_WEIGHTS.map((_, carries) => (carries === OUT_OF_DISTRIBUTION_CARRIES ? 1 : 0));
  return {
    train: drawSet("train", sizes.train, CARRY_WEIGHTS, seen, random),
    heldOut: drawSet("held-out", sizes.heldOut, CARRY_WEIGHTS, seen, random),
    outOfDistribution: drawSet("one-carry", sizes.outOfDistribution, onlyOne, seen, random),
  };
}

function drawSet(
  name: string,
  size: number,
  weights: readonly number[],
  seen: Set<string>,
  random: Random,
): QuestionRow[] {
  const questions: { question: Addition; carries: number }[] = [];
  for (const [carries, count] of apportion(size, weights).entries()) {
    for (let i = 0; i < count; i++) questions.push({ question: drawUnseen(carries, seen, random), carries });
  }
  return random.shuffle(questions).map(({ question, carries }, index) => ({
    id: `${name}-${String(index).padStart(3, "0")}`,
    data_source: `carries-${carries}`,
    question: formatQuestion(question),
    answer: goldAnswer(question),
    solution: formatResponse(trueColumns(question)),
  }));
}

function drawUnseen(carries: number, seen: Set<string>, random: Random): Addition {
  for (;;) {
    const question = drawQuestion(random, carries);
    const key = formatQuestion(question);
    if (seen.has(key)) continue;
    seen.add(key);
    return question;
  }
}

/** Whole numbers in the proportion of the weights that add up to `total`. */
export function apportion(total: number, weights: readonly number[]): number[] {
  const sum = weights.reduce((a, b) => a + b, 0);
  let cumulated = 0;
  let given = 0;
  return weights.map((weight) => {
    cumulated += weight;
    const count = Math.round((total * cumulated) / sum) - given;
    given += count;
    return count;
  });
}

export function toJsonLines(rows: readonly object[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join("");
}
