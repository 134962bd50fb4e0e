/**
 * Whether the warm-up has converged. Reinforcement learning from a model that does not yet add, or does not yet follow a
 * critique, says nothing about the methods; such a warm-up is prolonged or reported, never averaged in.
 */
import { evaluate, type Policy, type Question, type TextCodec } from "critique-grpo";
import { type CritiqueStyle, writeCritique } from "./critique.js";
import { type Examinee, greedyAccuracy } from "./measure.js";
import { createRandom } from "./random.js";
import {
  type Addition,
  carriesIn,
  drawQuestion,
  formatQuestion,
  goldAnswer,
  operandColumns,
  parseQuestion,
  parseResponse,
  RESPONSE_TOKENS,
  trueColumns,
} from "./task.js";
import { fillRefinementTemplate } from "./warmup.js";

export interface GateResult {
  /** Greedy accuracy on questions without carries. */
  readonly withoutCarries: number;
  /** Right refinements of wrong answers to questions with two or three carries, by critique. */
  readonly followsStepByStep: number;
  readonly followsGroundTruth: number;
  /** Mean probability of the right digit in columns without and with an incoming carry. */
  readonly rightDigit: number;
  readonly rightDigitAfterCarry: number;
  readonly converged: boolean;
}

export const GATE_THRESHOLDS = {
  withoutCarries: 0.98,
  followsStepByStep: 0.9,
  followsGroundTruth: 0.9,
  rightDigit: 0.97,
} as const;

const EASY_QUESTIONS = 128;
const HARD_QUESTIONS = 192;

export async function examineWarmUp(examinee: Examinee, seed: number): Promise<GateResult> {
  const random = createRandom(seed, "gate");
  const draw = (count: number, carries: () => number) =>
    Array.from({ length: count }, (_, index) => toQuestion(drawQuestion(random, carries()), `gate-${index}`));
  const easy = draw(EASY_QUESTIONS, () => 0);
  const hard = draw(HARD_QUESTIONS, () => 2 + random.integer(2));
  const { policy, codec, ...shared } = examinee;
  const options = { ...shared, samples: 1, temperature: 1, maxTokens: RESPONSE_TOKENS, seed };

  const answers = await evaluate(policy, codec, hard, options);
  const wrong = answers.questions.flatMap(({ question, responses }) => {
    const { text, reward } = responses[0]!;
    return reward.correct || parseResponse(text) === null ? [] : [{ question, text }];
  });
  const follows = async (style: CritiqueStyle): Promise<number> => {
    if (wrong.length === 0) return 0;
    const asked = wrong.map(({ question, text }) => refinementOf(question, text, style));
    return (await evaluate(policy, codec, asked, options)).summary.pass1.value;
  };
  const measured = {
    withoutCarries: await greedyAccuracy(examinee, easy),
    followsStepByStep: await follows("step-by-step"),
    followsGroundTruth: await follows("ground-truth"),
    ...(await digitProbabilities(policy, codec, hard, shared.signal)),
  };
  return { ...measured, converged: passes(measured) };
}

export function passes(measured: Readonly<Record<keyof typeof GATE_THRESHOLDS, number>>): boolean {
  return (Object.keys(GATE_THRESHOLDS) as (keyof typeof GATE_THRESHOLDS)[]).every(
    (key) => measured[key] >= GATE_THRESHOLDS[key],
  );
}

function toQuestion(addition: Addition, id: string): Question {
  const text = formatQuestion(addition);
  return { id, dataSource: "gate", text, prompt: text, gold: goldAnswer(addition), metadata: {} };
}

/** The refinement prompt as a question of its own, with the same right answer. */
function refinementOf(question: Question, response: string, style: CritiqueStyle): Question {
  const right = trueColumns(parseQuestion(question.text));
  const critique = writeCritique(parseResponse(response)!.columns, right, false, style);
  return { ...question, prompt: fillRefinementTemplate({ question: question.text, response, critique }) };
}

/** Probability of each right column digit after the digits that the warm-up teaches before it. */
async function digitProbabilities(
  policy: Policy,
  codec: TextCodec,
  questions: readonly Question[],
  signal: AbortSignal,
): Promise<{ rightDigit: number; rightDigitAfterCarry: number }> {
  const columns = questions.flatMap(({ text }) => {
    const addition = parseQuestion(text);
    const carries = carriesIn(addition);
    const taught = operandColumns(addition).map(([a, b]) => (a + b) % 10);
    return trueColumns(addition).map((digit, column) => ({
      carry: carries[column]!,
      prompt: codec.encode(text + taught.slice(0, column).join("")),
      response: codec.encode(String(digit)),
    }));
  });
  const logprobs = await policy.logprobs(columns, { signal });
  const mean = (carry: boolean) => {
    const some = columns.flatMap((column, i) => (column.carry === carry ? [Math.exp(logprobs[i]!.logprobs[0]!)] : []));
    return some.reduce((sum, probability) => sum + probability, 0) / some.length;
  };
  return { rightDigit: mean(false), rightDigitAfterCarry: mean(true) };
}
