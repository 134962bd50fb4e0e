/** One question through the run, added up as its groups come by in the order of their steps. */
import type { ProblemOutcome, ProblemSummary } from "@critique-grpo/dashboard";
import type { RolloutRecord } from "../../run/records.js";
import { type GroupFacts, shortened } from "./group-facts.js";

/** Characters of question beginnings kept for all questions together; later ones are known by their id. */
const TEXT_BUDGET = 32 << 20;

interface Problem {
  readonly questionId: string;
  readonly dataSource: string;
  readonly question: string;
  readonly gold: string;
  readonly firstStep: number;
  visits: number;
  lastStep: number;
  firstSolved: number | null;
  firstRefined: number | null;
  responses: number;
  correct: number;
  lastAccuracy: number;
}

export class ProblemTally {
  readonly #problems = new Map<string, Problem>();
  #characters = 0;

  get size(): number {
    return this.#problems.size;
  }

  add(facts: GroupFacts, { question }: Pick<RolloutRecord, "question">): void {
    const { questionId, step, initialCount, initialCorrect, refinementCorrect } = facts;
    let problem = this.#problems.get(questionId);
    if (problem === undefined) {
      problem = this.#first(step, question);
      this.#problems.set(questionId, problem);
    }
    problem.visits++;
    problem.lastStep = step;
    if (initialCorrect > 0) problem.firstSolved ??= step;
    if (refinementCorrect > 0) problem.firstRefined ??= step;
    problem.responses += initialCount;
    problem.correct += initialCorrect;
    problem.lastAccuracy = initialCorrect / initialCount;
  }

  get(questionId: string): ProblemSummary | undefined {
    const problem = this.#problems.get(questionId);
    return problem === undefined ? undefined : summary(problem);
  }

  *summaries(): Generator<ProblemSummary> {
    for (const problem of this.#problems.values()) yield summary(problem);
  }

  #first(step: number, question: RolloutRecord["question"]): Problem {
    const room = this.#characters < TEXT_BUDGET;
    const text = room ? shortened(question.text) : "";
    const gold = room ? shortened(question.gold, 80) : "";
    this.#characters += text.length + gold.length;
    return {
      questionId: question.id,
      dataSource: question.dataSource,
      question: text,
      gold,
      firstStep: step,
      visits: 0,
      lastStep: step,
      firstSolved: null,
      firstRefined: null,
      responses: 0,
      correct: 0,
      lastAccuracy: 0,
    };
  }
}

function summary({ responses, correct, ...problem }: Problem): ProblemSummary {
  return { ...problem, outcome: outcome(problem), accuracy: correct / responses };
}

function outcome({ firstSolved, firstRefined }: Pick<Problem, "firstSolved" | "firstRefined">): ProblemOutcome {
  if (firstSolved !== null) return "solved";
  return firstRefined === null ? "never" : "only-refined";
}
