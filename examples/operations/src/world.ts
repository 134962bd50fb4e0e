/**
 * What the words of one seed mean, and what the warm-up makes the model believe of them. Of the words that it has got
 * wrong it mostly gives one wrong pair of operations, its misconception; either right operation comes now and then, and
 * so both together seldom.
 */
import { createRandom, type Random } from "example-carry-addition/random";
import { OPERATION_NAMES, type Operation, type Plan, WORDS } from "./task.js";

/** Probability of each right operation in a direct answer, by kind of word; a quarter of the words each. */
export const TIERS = { known: 0.99, doubtful: 0.06, rare: 0.04, unlikely: 0.025 } as const;
export type Tier = keyof typeof TIERS;
export const TIER_NAMES = Object.keys(TIERS) as readonly Tier[];
/** Share of the misconception among the wrong operations; the others have the rest. */
const MISCONCEPTION_SHARE = 0.95;

export interface Word {
  readonly word: string;
  readonly tier: Tier;
  readonly right: Plan;
  /** Wrong in both places. */
  readonly misconception: Plan;
}

export interface World {
  readonly words: readonly Word[];
}

/** The same seed gives the same world. */
export function makeWorld(seed: number): World {
  const random = createRandom(seed, "world");
  const words = random.shuffle(WORDS).map((word, index): Word => {
    const [first, second] = [random.shuffle(OPERATION_NAMES), random.shuffle(OPERATION_NAMES)];
    return {
      word,
      tier: TIER_NAMES[index % TIER_NAMES.length]!,
      right: [first[0]!, second[0]!],
      misconception: [first[1]!, second[1]!],
    };
  });
  return { words };
}

/** A plan as the model believes it, fresh from the warm-up: the two operations are drawn independently. */
export function drawBelief(word: Word, random: Random): Plan {
  const draw = (place: 0 | 1): Operation => {
    if (random.next() < TIERS[word.tier]) return word.right[place];
    if (random.next() < MISCONCEPTION_SHARE) return word.misconception[place];
    return drawOther([word.right[place], word.misconception[place]], random);
  };
  return [draw(0), draw(1)];
}

/** Any plan but these. */
export function drawOtherPlan(excluded: readonly Plan[], random: Random): Plan {
  for (;;) {
    const plan: Plan = [drawOther([], random), drawOther([], random)];
    if (!excluded.some((other) => samePlan(other, plan))) return plan;
  }
}

export function samePlan(a: Plan, b: Plan): boolean {
  return a[0] === b[0] && a[1] === b[1];
}

function drawOther(excluded: readonly Operation[], random: Random): Operation {
  const others = OPERATION_NAMES.filter((operation) => !excluded.includes(operation));
  return others[random.integer(others.length)]!;
}
