/** How often a critique turns a wrong answer into a right one, by who writes it. */
import {
  type CritiqueRequest,
  type EvaluatedQuestion,
  evaluate,
  loadRunConfig,
  loadUserModule,
  type Question,
  resolveCritic,
  type TextCodec,
} from "critique-grpo";
import type { CriticName, Examinee, Family } from "./family.js";

export interface RefinementSuccess {
  /** Wrong answers that were refined. */
  readonly wrong: number;
  /** Fraction of them whose refinement is right; NaN without wrong answers. */
  readonly success: number;
}

/** One sampled answer a question; the wrong ones are criticised and refined once, all at temperature 1. */
export async function refinementSuccess(
  family: Family,
  { policy, codec, score }: Examinee,
  critic: CriticName,
  questions: readonly Question[],
  seed: number,
): Promise<RefinementSuccess> {
  const options = { score, samples: 1, temperature: 1, maxTokens: family.responseTokens, seed };
  const answers = await evaluate(policy, codec, questions, options);
  const wrong = answers.questions.filter(({ responses }) => !responses[0]!.reward.correct);
  if (wrong.length === 0) return { wrong: 0, success: Number.NaN };
  const { config } = loadRunConfig({
    file: family.configFile,
    overrides: [`critique=${family.critics[critic]!}`],
    allowMissing: true,
  });
  const writer = (await resolveCritic(config.critique, loadUserModule))!;
  await writer.open?.({ policy, codec, runDirectory: null });
  try {
    const critiques = await writer.critique(wrong.map((entry, index) => request(entry, codec, seed + index)));
    const template = config.refinement.template!;
    const asked = wrong.map(({ question, responses }, index) => ({
      ...question,
      prompt: fill(template, {
        question: question.text,
        response: responses[0]!.text,
        critique: critiques[index]!.text,
      }),
    }));
    const readable = asked.filter(({ prompt }) => isReadable(prompt, codec));
    if (readable.length === 0) return { wrong: wrong.length, success: 0 };
    const { questions: refined } = await evaluate(policy, codec, readable, options);
    const right = refined.filter(({ responses }) => responses[0]!.reward.correct).length;
    return { wrong: wrong.length, success: right / wrong.length };
  } finally {
    await writer.close?.();
  }
}

/** What a model that has learnt little writes can be no text of its own tokenizer; a run skips such refinements, too. */
function isReadable(prompt: string, codec: TextCodec): boolean {
  try {
    codec.encode(prompt);
    return true;
  } catch {
    return false;
  }
}

/** A wrong answer as a critic sees it in a run; what the sampler knew of its tokens is not asked for. */
function request({ question, responses }: EvaluatedQuestion, codec: TextCodec, seed: number): CritiqueRequest {
  const { text, stopReason, reward } = responses[0]!;
  const tokens = codec.encode(text);
  return {
    question,
    seed,
    response: {
      ...{ kind: "initial", index: 0, samplingPrompt: [], tokens, logprobs: new Float32Array(tokens.length) },
      ...{ text, stopReason, policyVersion: 0, reward },
    },
  };
}

function fill(template: string, values: Readonly<Record<string, string>>): string {
  return template.replace(/\{(question|response|critique)\}/g, (_, name: string) => values[name]!);
}
