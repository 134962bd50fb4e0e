/** What all critics that are language models share: prompts, fallbacks, verdicts. Who answers a prompt is a writer. */
import type { Critique } from "../../rollout/records.js";
import { type Critic, type CriticRun, type CritiqueRequest, fallbackCritique, plainCritique } from "./critic.js";
import { renderCritiquePrompt } from "./critique-prompt.js";
import { statesGold } from "./leak.js";
import { parseVerdict, trimCritique } from "./verdict.js";

export interface CritiquePrompt {
  readonly text: string;
  /** To be sent as a user's message; otherwise the text is the whole prompt, without chat markup. */
  readonly chat: boolean;
  readonly seed: number;
}

/** What is recorded of a call, whatever came of it. */
export type DraftRecord = Pick<Critique, "stopReason" | "latencyMs" | "tokens" | "calls" | "cost" | "cached">;

/** What a writer made of a prompt: a text, or the reason why there is none. */
export type Draft = { readonly record: DraftRecord } & (
  | { readonly text: string; readonly failure?: never }
  | { readonly failure: string; readonly text?: never }
);

/** Answers prompts, in their order. Throws only when the whole run cannot go on, and AbortError on abort. */
export interface CritiqueWriter {
  write(prompts: readonly CritiquePrompt[], options: { signal?: AbortSignal }): Promise<readonly Draft[]>;
  open(run: CriticRun): Promise<void>;
  close(): Promise<void>;
}

export interface LanguageModelSettings {
  /** Which responses the model is asked about; with "wrong" a right one gets the `simple_gt` sentence. */
  readonly responses: "wrong" | "all";
  /** Default: the paper's setting. */
  readonly template?: string | undefined;
}

type LanguageModelKind = Extract<Critique["kind"], "teacher" | "self" | "checkpoint">;

/** A critic that asks a language model; a failed call or an empty answer falls back to `simple_gt`, with the reason. */
export function createLanguageModelCritic(
  kind: LanguageModelKind,
  settings: LanguageModelSettings,
  writer: CritiqueWriter,
): Critic {
  return {
    open: (run) => writer.open(run),
    close: () => writer.close(),
    async critique(requests, options = {}) {
      const asked = requests
        .filter(({ response }) => settings.responses === "all" || !response.reward.correct)
        .map((request) => ({ request, prompt: promptOf(request, settings) }));
      const drafts = await writer.write(
        asked.map(({ prompt }) => prompt),
        options,
      );
      const written = new Map(
        asked.map(({ request, prompt }, i) => [request, judge(kind, request, prompt, drafts[i]!)] as const),
      );
      return requests.map((request) => written.get(request) ?? plainCritique(request));
    },
  };
}

function promptOf({ question, response, seed }: CritiqueRequest, { template }: LanguageModelSettings): CritiquePrompt {
  const text = renderCritiquePrompt(template, question, response.text);
  return { text, chat: typeof question.prompt !== "string", seed };
}

function judge(kind: LanguageModelKind, request: CritiqueRequest, prompt: CritiquePrompt, draft: Draft): Critique {
  const known = { prompt: prompt.text, ...draft.record };
  if (draft.text === undefined) return { ...fallbackCritique(request, draft.failure), ...known };
  const text = trimCritique(draft.text);
  if (text === "") {
    const thinking = draft.text.trim() === "" ? "" : " beside its thoughts";
    return { ...fallbackCritique(request, `the critic wrote nothing${thinking}`), ...known };
  }
  const { question, response } = request;
  const verdict = parseVerdict(text);
  return {
    kind,
    text,
    ...known,
    verdict,
    ...(verdict === null ? {} : { agreement: (verdict === "right") === response.reward.correct }),
    leak: statesGold(question.gold, text, [question.text, response.text]),
  };
}
