/**
 * A task for the tabular policy: each question is a letter, its gold answer a digit. From a letter the policy knows
 * nothing; after a digit it tends to repeat that digit, so a critique that ends in the gold answer gives a refinement
 * that is right more often than not: what Critique-GRPO needs to learn from.
 */
import type { RunConfigInput } from "../config/schema.js";
import type { Question } from "../data/question.js";
import type { CritiqueFunction } from "../feedback/critique/program.js";
import type { WeightedReward } from "../feedback/reward/reward.js";
import { createCharacterCodec } from "./character-codec.js";
import { TabularPolicy, type TabularPolicyOptions } from "./tabular-policy.js";

const LETTERS = "abcdefgh";
const DIGITS = "01234567";
const ALPHABET = `${LETTERS}${DIGITS}XV$`;
/** Logit of repeating a digit. */
const COPY_LOGIT = 4;

export const copyCodec = createCharacterCodec(ALPHABET);

export const copyQuestions: readonly Question[] = [...LETTERS].map((letter, index) => ({
  id: letter,
  dataSource: "copy",
  text: letter,
  prompt: letter,
  gold: DIGITS[(index * 3 + 1) % DIGITS.length]!,
  metadata: {},
}));

/** Right when the response is the gold digit and nothing else. */
export const copyRewards: readonly WeightedReward[] = [
  { name: "digit", score: ({ question, text }) => (text === question.gold ? 1 : 0) },
];

/** Verdict, then the right answer. */
export const copyCritique: CritiqueFunction = ({ question, response }) =>
  `${response.reward.correct ? "V" : "X"}${question.gold}`;

/** Plain prompts: the refinement prompt ends in the critique. */
export const COPY_TEMPLATE = "{question}{response}{critique}";

export function copyPolicy(options: Partial<TabularPolicyOptions> = {}): TabularPolicy {
  const size = ALPHABET.length;
  const logits = new Float64Array(size * size);
  for (const digit of DIGITS) {
    const id = ALPHABET.indexOf(digit);
    logits[id * size + id] = COPY_LOGIT;
  }
  return new TabularPolicy({ vocabularySize: size, logits, ...options });
}

/** Responses are one digit long: a stop token is not needed. */
export function copyConfig(overrides: Partial<RunConfigInput> = {}): RunConfigInput {
  return {
    engine: { type: "embedded", model: { config: "unused" } },
    data: { files: "unused", format: "plain" },
    steps: 6,
    questionsPerStep: 4,
    miniBatches: 2,
    sampling: { maxTokens: 1 },
    reward: { functions: [{ name: "digit", module: "unused" }] },
    critique: { type: "program", module: "unused" },
    refinement: { count: 1, template: COPY_TEMPLATE },
    algorithm: { initialResponses: 3 },
    optimizer: { learningRate: 0.05, weightDecay: 0 },
    ...overrides,
  };
}
