/** What a model can do: the same questions and random numbers for every method of a seed. */
import { evaluate, type Question, type SourceSummary } from "critique-grpo";
import type { CriticName, Examinee, Family } from "./family.js";
import { type RefinementSuccess, refinementSuccess } from "./refinement-probe.js";

/** Samples a question for pass@1 and pass@8. */
export const SAMPLES = 8;
/** Training questions that are asked for persistent failures. */
const TRAIN_QUESTIONS = 256;

export interface Accuracy {
  readonly greedy: number;
  readonly pass1: number;
  readonly pass8: number;
}

export interface Measurement {
  /** Held-out questions, as fractions. */
  readonly heldOut: Accuracy;
  readonly heldOutBySource: Readonly<Record<string, Accuracy>>;
  /** Tokens of sampled answers to held-out questions: mean. */
  readonly length: number;
  /** Fraction of training questions without a right answer in 8 samples. */
  readonly persistentFailures: number;
  readonly refinement: Readonly<Partial<Record<CriticName, RefinementSuccess>>>;
}

export interface Questions {
  readonly train: readonly Question[];
  readonly heldOut: readonly Question[];
}

export async function measureModel(
  family: Family,
  examinee: Examinee,
  questions: Questions,
  seed: number,
): Promise<Measurement> {
  const { policy, codec, score } = examinee;
  const options = { score, samples: SAMPLES, temperature: 1, maxTokens: family.responseTokens, seed };
  const heldOut = (await evaluate(policy, codec, questions.heldOut, { ...options, greedy: true })).summary;
  const asked = questions.train.slice(0, TRAIN_QUESTIONS);
  const train = (await evaluate(policy, codec, asked, options)).summary;
  const refinement: Partial<Record<CriticName, RefinementSuccess>> = {};
  for (const critic of Object.keys(family.critics) as CriticName[]) {
    refinement[critic] = await refinementSuccess(family, examinee, critic, questions.heldOut, seed);
  }
  return {
    heldOut: accuracy(heldOut),
    heldOutBySource: Object.fromEntries(heldOut.sources.map((source) => [source.dataSource, accuracy(source)])),
    length: heldOut.lengths.mean,
    persistentFailures: train.persistentFailures / asked.length,
    refinement,
  };
}

function accuracy({ greedy, pass1, passAt }: SourceSummary): Accuracy {
  return { greedy: greedy!.value, pass1: pass1.value, pass8: passAt.find(({ k }) => k === SAMPLES)!.value };
}
