/** Checks of questions that need the tokenizer and the model's limits: made before the first expensive step. */
import { InputError } from "../config/errors.js";
import type { TextCodec } from "../policy/policy.js";
import { encodePrompt } from "../text/prompt.js";
import type { LocatedQuestion } from "./load.js";

export interface PromptLimits {
  /** Prompt and response together. */
  readonly contextLength: number;
  /** Room that the longest response needs. */
  readonly maxTokens: number;
  /** Ids the model has embeddings for. */
  readonly vocabularySize?: number;
}

const SHOWN = 5;

/**
 * Encodes every prompt. Throws InputError that lists the rows whose prompt leaves no room for a response, cannot be
 * rendered, or holds tokens the model does not know. Returns the length of the longest prompt.
 */
export function checkPrompts(questions: readonly LocatedQuestion[], codec: TextCodec, limits: PromptLimits): number {
  const room = limits.contextLength - limits.maxTokens;
  const long: { location: string; length: number }[] = [];
  let longest = 0;
  for (const { question, location } of questions) {
    let prompt: number[];
    try {
      prompt = encodePrompt(codec, question.prompt);
    } catch (error) {
      throw new InputError(`${location}: ${(error as Error).message}`, { cause: error });
    }
    if (prompt.length === 0) throw new InputError(`${location}: the prompt has no tokens`);
    const unknown = limits.vocabularySize === undefined ? undefined : prompt.find((id) => id >= limits.vocabularySize!);
    if (unknown !== undefined) {
      throw new InputError(
        `${location}: the tokenizer gives token ${unknown}, but the model's vocabulary has ${limits.vocabularySize} tokens; tokenizer and model do not belong together`,
      );
    }
    longest = Math.max(longest, prompt.length);
    if (prompt.length > room) long.push({ location, length: prompt.length });
  }
  if (long.length > 0) {
    const rows = long.slice(0, SHOWN).map(({ location, length }) => `  ${location}: ${length} tokens`);
    const more = long.length > SHOWN ? [`  and ${long.length - SHOWN} more`] : [];
    const lower = limits.contextLength - longest;
    const remedies = [
      "shorten or remove these rows",
      ...(lower > 0 ? [`lower sampling.maxTokens to ${lower} or less`] : []),
      `raise engine.contextLength to ${longest + limits.maxTokens} or more if the model allows it`,
    ];
    throw new InputError(
      [
        `${long.length} of ${questions.length} prompts are too long: context length ${limits.contextLength} less ${limits.maxTokens} tokens for the response leaves ${room} for a prompt`,
        ...rows,
        ...more,
        `Remedy: ${remedies.join(", or ")}`,
      ].join("\n"),
    );
  }
  return longest;
}

/** Throws InputError that lists the rows without a gold answer; `reason` says what needs one. */
export function requireGold(questions: readonly LocatedQuestion[], reason: string): void {
  const without = questions.filter(({ question }) => question.gold === "");
  if (without.length === 0) return;
  const rows = without.slice(0, SHOWN).map(({ location }) => location);
  throw new InputError(
    `${without.length} of ${questions.length} questions have no gold answer, but ${reason} needs one: ${rows.join(", ")}${without.length > SHOWN ? ", …" : ""}. Name the column in data.columns.answer`,
  );
}

/** What a reward says of gold answers before a run; see `WeightedReward.unverifiable`. */
interface GoldJudge {
  readonly name: string;
  readonly unverifiable?: (gold: string) => string | null;
}

/**
 * Leaves out the questions whose gold answer a reward cannot judge, and lists them; `policy` "error" refuses them.
 * @throws InputError with the list, or if no question is left.
 */
export function verifiableQuestions(
  questions: readonly LocatedQuestion[],
  rewards: readonly GoldJudge[],
  policy: "skip" | "error",
): { readonly kept: readonly LocatedQuestion[]; readonly warning: string | null } {
  const problems: string[] = [];
  const kept = questions.filter(({ question, location }) => {
    for (const { name, unverifiable } of rewards) {
      const reason = unverifiable?.(question.gold) ?? null;
      if (reason === null) continue;
      problems.push(`  ${location}: ${JSON.stringify(question.gold)}: reward ${name}: ${reason}`);
      return false;
    }
    return true;
  });
  if (problems.length === 0) return { kept, warning: null };
  const list = `${problems.length} of ${questions.length} gold answers cannot be verified against`;
  if (policy === "error" || kept.length === 0) {
    throw new InputError(
      `${list}:\n${problems.join("\n")}\nRemedy: mend these answers, name the column in data.columns.answer, or set reward.unverifiableGold: skip`,
    );
  }
  return { kept, warning: `${list}; these questions are left out:\n${problems.join("\n")}` };
}
