/** Questions through the whole run. */
import {
  type Breakthrough,
  PROBLEM_OUTCOMES,
  type ProblemHistory,
  type ProblemOutcome,
  type ProblemPage,
  type ProblemSummary,
} from "@critique-grpo/dashboard";
import { HttpError } from "../../http/errors.js";
import type { RolloutRecord } from "../../run/records.js";
import { flagsOf, type GroupFacts } from "../data/group-facts.js";
import type { RolloutIndex } from "../data/rollout-index.js";

export const PROBLEM_ORDERS = ["hardest", "easiest", "solved-late", "visits"] as const;
export type ProblemOrder = (typeof PROBLEM_ORDERS)[number];

export interface ProblemQuery {
  /** Null: any. */
  readonly outcome: ProblemOutcome | null;
  /** Looked for in id, question and gold; empty = any. */
  readonly text: string;
  readonly order: ProblemOrder;
  readonly offset: number;
  readonly limit: number;
}

export async function problemPage(index: RolloutIndex, query: ProblemQuery): Promise<ProblemPage> {
  const { problems } = await index.touch();
  const counts = Object.fromEntries(PROBLEM_OUTCOMES.map((outcome) => [outcome, 0])) as Record<ProblemOutcome, number>;
  const needle = query.text.toLowerCase();
  const found: ProblemSummary[] = [];
  for (const problem of problems.summaries()) {
    counts[problem.outcome]++;
    if (query.outcome !== null && problem.outcome !== query.outcome) continue;
    const { questionId, question, gold } = problem;
    if (needle !== "" && ![questionId, question, gold].some((text) => text.toLowerCase().includes(needle))) continue;
    found.push(problem);
  }
  found.sort((a, b) => compare(query.order, a, b) || b.visits - a.visits);
  return {
    problems: found.slice(query.offset, query.offset + query.limit),
    matching: found.length,
    total: problems.size,
    counts,
    index: index.progress(),
  };
}

/** @throws HttpError 404 for a question that the index does not know (yet). */
export async function problemHistory(index: RolloutIndex, questionId: string): Promise<ProblemHistory> {
  const { problems, table } = await index.touch();
  const problem = problems.get(questionId);
  if (problem === undefined) throw new HttpError(404, `No step has trained on ${JSON.stringify(questionId)}`);
  const visits = table.rowsOf(questionId).map((row) => table.at(row));
  const solvedAt = visits.find(({ initialCorrect }) => initialCorrect > 0);
  const refinedAt = visits.find(({ refinementCorrect }) => refinementCorrect > 0);
  const { question } = await index.recordWithoutTokens(visits[0]!);
  return {
    problem,
    text: question.text,
    visits: visits.map(({ flagBits, offset: _, bytes: __, questionId: ___, ...visit }) => ({
      ...visit,
      flags: flagsOf(flagBits),
    })),
    firstSolved: solvedAt === undefined ? null : ownSolution(solvedAt, await index.recordWithoutTokens(solvedAt)),
    firstRefined:
      refinedAt === undefined ? null : refinedSolution(refinedAt, await index.recordWithoutTokens(refinedAt)),
    index: index.progress(),
  };
}

function compare(order: ProblemOrder, a: ProblemSummary, b: ProblemSummary): number {
  switch (order) {
    case "hardest":
      return a.accuracy - b.accuracy;
    case "easiest":
      return b.accuracy - a.accuracy;
    case "solved-late":
      return (b.firstSolved ?? -1) - (a.firstSolved ?? -1);
    case "visits":
      return b.visits - a.visits;
    default:
      throw new RangeError(`Unknown order ${String(order satisfies never)}`);
  }
}

function ownSolution({ step, line }: GroupFacts, { initial }: RolloutRecord): Breakthrough | null {
  const response = initial.find(({ reward }) => reward.correct);
  if (response === undefined) return null;
  return { step, line, kind: "initial", index: response.index, text: response.text, from: null };
}

function refinedSolution({ step, line }: GroupFacts, { initial, refinements }: RolloutRecord): Breakthrough | null {
  const right = refinements.filter(({ reward }) => reward.correct);
  const refinement = right.find(({ kept }) => kept) ?? right[0];
  if (refinement === undefined) return null;
  const origin = initial.find(({ index }) => index === refinement.refines);
  const { index, text } = refinement;
  return {
    ...{ step, line, kind: "refinement", index, text },
    from:
      origin === undefined ? null : { index: origin.index, text: origin.text, critique: origin.critique?.text ?? null },
  };
}
