/** The questions of one seed: training and held-out sets, disjoint, as rows of a JSONL file. */
import { createRandom, type Random } from "example-carry-addition/random";
import { apply, drawDigits, formatQuestion, formatResponse } from "./task.js";
import type { World } from "./world.js";

export interface QuestionRow {
  readonly id: string;
  /** How well the warm-up knows the word: evaluations report each tier on its own. */
  readonly data_source: string;
  readonly question: string;
  readonly answer: string;
  /** A right response: what an expert would write. */
  readonly solution: string;
}

export interface Splits {
  readonly train: readonly QuestionRow[];
  readonly heldOut: readonly QuestionRow[];
}

/** Every word equally often in each set; no question is in both, or twice in one. */
export function makeSplits(world: World, seed: number, sizes: { train: number; heldOut: number }): Splits {
  const random = createRandom(seed, "questions");
  const seen = new Set<string>();
  return {
    train: drawSet(world, "train", sizes.train, seen, random),
    heldOut: drawSet(world, "held-out", sizes.heldOut, seen, random),
  };
}

function drawSet(world: World, name: string, size: number, seen: Set<string>, random: Random): QuestionRow[] {
  const rows = Array.from({ length: size }, (_, index) => {
    const { word, tier, right } = world.words[index % world.words.length]!;
    for (;;) {
      const digits = drawDigits(random);
      const question = formatQuestion({ word, digits });
      if (seen.has(question)) continue;
      seen.add(question);
      const [answer, solution] = [apply(right, digits), formatResponse(right, digits)];
      return { data_source: tier, question, answer, solution };
    }
  });
  return random.shuffle(rows).map((row, index) => ({ id: `${name}-${String(index).padStart(3, "0")}`, ...row }));
}
