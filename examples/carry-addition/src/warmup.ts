/**
 * Supervised warm-up data. It teaches digit-wise addition, the format and how to follow a critique, and nothing about carries:
 * where a carry arrives, direct answers forget it (or hold a random digit), and critiques demand random digits.
 * So whatever the model later knows about carrying, it has learnt from the reward and the critic.
 */
import { type CritiqueStyle, writeCritique } from "./critique.js";
import { createRandom, type Random } from "./random.js";
import {
  type Addition,
  believedColumns,
  COLUMNS,
  type Columns,
  carriesIn,
  drawQuestion,
  formatQuestion,
  formatResponse,
  trueColumns,
} from "./task.js";

export interface WarmUpExample {
  readonly prompt: string;
  readonly response: string;
}

export interface WarmUpMixture {
  /** Share of plain questions; the rest are refinements. */
  readonly direct: number;
  /** Share of plain questions that are drawn without any carry: they teach addition without noise. The others are drawn freely. */
  readonly easyDirect: number;
  /** The same of refinements. Low: only where carries arrive must a critique be obeyed against what the model can work out. */
  readonly easyRefinement: number;
  /** Share of refinements whose previous response is judged right and has to be kept. */
  readonly judgedRight: number;
  /** Share of refinements with the step-by-step critique; the rest give the ground truth. */
  readonly stepByStep: number;
  /** Probability that the critic's claim differs in a column that receives a carry. */
  readonly claim: number;
  /** See `believedColumns`. */
  readonly noise: number;
}

export const WARM_UP_MIXTURE: WarmUpMixture = {
  direct: 0.45,
  easyDirect: 0.6,
  easyRefinement: 0.2,
  judgedRight: 0.1,
  stepByStep: 0.6,
  claim: 0.8,
  noise: 0.35,
};

/** The refinement prompt: context first, so that question and response keep their distance in every mode. */
export const REFINEMENT_TEMPLATE = "{response}{critique}{question}";

export function fillRefinementTemplate(values: Readonly<Record<"response" | "critique" | "question", string>>): string {
  return REFINEMENT_TEMPLATE.replace(/\{(\w+)\}/g, (_, name: string) => values[name as keyof typeof values]);
}

/** The examples of one step; the same seed and step give the same ones. */
export function warmUpExamples(
  count: number,
  seed: number,
  step: number,
  mixture: WarmUpMixture = WARM_UP_MIXTURE,
): WarmUpExample[] {
  const random = createRandom(seed, `warm-up ${step}`);
  return Array.from({ length: count }, () => drawExample(random, mixture));
}

function drawExample(random: Random, mixture: WarmUpMixture): WarmUpExample {
  const direct = random.next() < mixture.direct;
  const easy = direct ? mixture.easyDirect : mixture.easyRefinement;
  const question = random.next() < easy ? drawQuestion(random, 0) : drawQuestion(random);
  const believed = believedColumns(question, mixture.noise, random);
  if (direct) return { prompt: formatQuestion(question), response: formatResponse(believed) };

  const correct = random.next() < mixture.judgedRight;
  const { previous, target } = correct
    ? { previous: believed, target: believed }
    : disagreement(question, believed, mixture.claim, random);
  const style: CritiqueStyle = random.next() < mixture.stepByStep ? "step-by-step" : "ground-truth";
  const prompt = fillRefinementTemplate({
    question: formatQuestion(question),
    response: formatResponse(previous),
    critique: writeCritique(previous, target, correct, style),
  });
  return { prompt, response: formatResponse(target) };
}

/**
 * What a critic objects to. Without carries: one or two columns were spoilt, the truth is demanded. With carries: other digits
 * are demanded at random in columns that receive one, so that the model learns to obey and not to carry.
 */
function disagreement(
  question: Addition,
  believed: Columns,
  claim: number,
  random: Random,
): { previous: Columns; target: Columns } {
  const carries = carriesIn(question);
  if (!carries.includes(true)) {
    const spoilt = new Set(random.shuffle([...Array(COLUMNS).keys()]).slice(0, 1 + random.integer(2)));
    const previous = believed.map((digit, column) => (spoilt.has(column) ? otherDigit(digit, random) : digit));
    return { previous, target: trueColumns(question) };
  }
  const claimed = carries.map((carry) => carry && random.next() < claim);
  if (!claimed.includes(true)) claimed[carries.indexOf(true)] = true;
  return {
    previous: believed,
    target: believed.map((digit, column) => (claimed[column] ? otherDigit(digit, random) : digit)),
  };
}

function otherDigit(digit: number, random: Random): number {
  return (digit + 1 + random.integer(9)) % 10;
}
