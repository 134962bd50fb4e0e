/**
 * Supervised warm-up data. It teaches the operations, and a mixture of right and wrong beliefs about the words: asked
 * directly, the model mostly gives its misconception; told that this was wrong, or asked for a critique, it does better.
 * So the right operations are latent: the model can come to them, and rarely does unasked.
 */
import type { TextPair } from "critique-grpo";
import { createRandom, type Random } from "example-carry-addition/random";
import { CRITIQUE_TEMPLATE, fill, REFINEMENT_TEMPLATE, writeCritique } from "./critique.js";
import { apply, type Digits, drawDigits, formatQuestion, formatResponse, type Plan } from "./task.js";
import { drawBelief, drawOtherPlan, samePlan, type Word, type World } from "./world.js";

export interface WarmUpMixture {
  /** Share of plain questions. */
  readonly direct: number;
  /** Share of critiques; the rest are refinements. */
  readonly critique: number;
  /** Probability that a response known to be wrong is replaced by the right one; otherwise by another wrong one. */
  readonly secondThought: number;
  /** Probability that the model's critique of a wrong response names the right operations. */
  readonly insight: number;
  /** Share of critiques and refinements of a right response. */
  readonly judgedRight: number;
}

export const WARM_UP_MIXTURE: WarmUpMixture = {
  direct: 0.3,
  critique: 0.15,
  secondThought: 0.5,
  insight: 0.6,
  judgedRight: 0.15,
};

/** The pairs of one step; the same seed and step give the same ones. */
export function warmUpPairs(
  world: World,
  count: number,
  seed: number,
  step: number,
  mixture: WarmUpMixture = WARM_UP_MIXTURE,
): TextPair[] {
  const random = createRandom(seed, `warm-up ${step}`);
  return Array.from({ length: count }, () => drawPair(world, random, mixture));
}

function drawPair(world: World, random: Random, mixture: WarmUpMixture): TextPair {
  const word = world.words[random.integer(world.words.length)]!;
  const digits = drawDigits(random);
  const question = formatQuestion({ word: word.word, digits });
  const kind = random.next();
  if (kind < mixture.direct) return { prompt: question, response: formatResponse(drawBelief(word, random), digits) };

  const correct = random.next() < mixture.judgedRight;
  const previous = correct ? word.right : drawWrongBelief(word, random);
  const response = formatResponse(previous, digits);
  if (kind < mixture.direct + mixture.critique) {
    return {
      prompt: fill(CRITIQUE_TEMPLATE, { question, response }),
      response: writeCritique(correct ? previous : reconsider(word, previous, mixture.insight, random), correct),
    };
  }
  const { critique, target } = drawFeedback(word, previous, correct, mixture, random, digits);
  return {
    prompt: fill(REFINEMENT_TEMPLATE, { question, response, critique }),
    response: formatResponse(target, digits),
  };
}

/**
 * A critique and the plan that follows it. A critique that names operations or an answer demands the right ones no
 * more often than the model would have come to it by itself: the model learns to obey, and not what is right.
 */
function drawFeedback(
  word: Word,
  previous: Plan,
  correct: boolean,
  mixture: WarmUpMixture,
  random: Random,
  digits: Digits,
): { critique: string; target: Plan } {
  const verdict = `The generated solution is ${correct ? "correct" : "incorrect"}`;
  const target = correct ? previous : reconsider(word, previous, mixture.secondThought, random);
  switch (random.integer(3)) {
    case 0:
      return { critique: `${verdict}.`, target };
    case 1:
      return { critique: `${verdict}, the ground truth is ${apply(target, digits)}.`, target };
    default:
      return { critique: writeCritique(target, correct), target };
  }
}

function drawWrongBelief(word: Word, random: Random): Plan {
  for (;;) {
    const belief = word.tier === "known" ? drawOtherPlan([word.right], random) : drawBelief(word, random);
    if (!samePlan(belief, word.right)) return belief;
  }
}

/** Another plan: the right one with probability `insight`. */
function reconsider(word: Word, previous: Plan, insight: number, random: Random): Plan {
  return random.next() < insight ? word.right : drawOtherPlan([previous, word.right], random);
}
