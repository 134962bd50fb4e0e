/** What a model can do: held-out questions, a kind of question that is never trained, persistent failures. */
import { type EvaluationOptions, evaluate, type Policy, type Question, type TextCodec } from "critique-grpo";
import type { Measurement } from "./summary.js";
import { RESPONSE_TOKENS } from "./task.js";

/** Samples a question for pass@1 and pass@8. */
const SAMPLES = 8;

export interface QuestionSets {
  readonly train: readonly Question[];
  readonly heldOut: readonly Question[];
  readonly outOfDistribution: readonly Question[];
}

export interface Examinee {
  readonly policy: Policy;
  readonly codec: TextCodec;
  readonly score: EvaluationOptions["score"];
  readonly signal: AbortSignal;
}

/** The same seed asks with the same random numbers. */
export async function measure(
  { policy, codec, ...shared }: Examinee,
  sets: QuestionSets,
  seed: number,
): Promise<Measurement> {
  const sampled = { ...shared, samples: SAMPLES, temperature: 1, maxTokens: RESPONSE_TOKENS, seed };
  const heldOut = await evaluate(policy, codec, sets.heldOut, { ...sampled, greedy: true });
  const train = await evaluate(policy, codec, sets.train, sampled);
  const { greedy, pass1, passAt } = heldOut.summary;
  return {
    heldOut: {
      greedy: greedy!.value,
      pass1: pass1.value,
      pass8: passAt.find(({ k }) => k === SAMPLES)!.value,
    },
    outOfDistribution: await greedyAccuracy({ policy, codec, ...shared }, sets.outOfDistribution),
    persistentFailures: train.summary.persistentFailures,
  };
}

/** Fraction of the questions whose greedy answer is right. */
export async function greedyAccuracy(
  { policy, codec, ...shared }: Examinee,
  questions: readonly Question[],
): Promise<number> {
  const options = { ...shared, samples: 1, temperature: 0, maxTokens: RESPONSE_TOKENS, seed: 0 };
  return (await evaluate(policy, codec, questions, options)).summary.pass1.value;
}
