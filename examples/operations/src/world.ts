/**
 * What the words of one seed mean, and what the warm-up makes the model believe of them. Of the words that it has got
 * wrong it answers most with one wrong operation, its misconception, and with the right one only now and then.
 */
import { createRandom, type Random } from "example-carry-addition/random";
import { OPERATION_NAMES, type Operation, WORDS } from "./task.js";

/** Probability that the warm-up answers with the right operation, by kind of word; a quarter of the words each. */
export const TIERS = { known: 0.97, doubtful: 0.03, rare: 0.01, unlikely: 0.003 } as const;
export type Tier = keyof typeof TIERS;
export const TIER_NAMES = Object.keys(TIERS) as readonly Tier[];
/** Share of the misconception among the wrong answers; the other operations have the rest. */
const MISCONCEPTION_SHARE = 0.95;

export interface Word {
  readonly word: string;
  readonly tier: Tier;
  readonly right: Operation;
  readonly misconception: Operation;
}

export interface World {
  readonly words: readonly Word[];
  readonly byName: ReadonlyMap<string, Word>;
}

/** The same seed gives the same world. */
export function makeWorld(seed: number): World {
  const random = createRandom(seed, "world");
  const words = random.shuffle(WORDS).map((word, index): Word => {
    const [right, misconception] = random.shuffle(OPERATION_NAMES);
    return { word, tier: TIER_NAMES[index % TIER_NAMES.length]!, right: right!, misconception: misconception! };
  });
  return { words, byName: new Map(words.map((word) => [word.word, word])) };
}

/** An operation as the model believes it, fresh from the warm-up. */
export function drawBelief(word: Word, random: Random): Operation {
  if (random.next() < TIERS[word.tier]) return word.right;
  if (random.next() < MISCONCEPTION_SHARE) return word.misconception;
  return drawOther([word.right, word.misconception], random);
}

/** Any operation but these. */
export function drawOther(excluded: readonly Operation[], random: Random): Operation {
  const others = OPERATION_NAMES.filter((operation) => !excluded.includes(operation));
  return others[random.integer(others.length)]!;
}
