/** Training groups: what happened to one question in one step. */

/** Filters of the group list; a group may have several. */
export const GROUP_FLAGS = [
  "fixed",
  "broken",
  "all-wrong",
  "all-right",
  "mixed",
  "truncated",
  "critic-failed",
  "critic-disagrees",
  "leak",
  "reward-failed",
  "refinement-skipped",
] as const;
export type GroupFlag = (typeof GROUP_FLAGS)[number];

export interface GroupSummary {
  readonly step: number;
  /** Position in the step's file, from 0. */
  readonly line: number;
  readonly questionId: string;
  readonly dataSource: string;
  /** Beginning of the question. */
  readonly question: string;
  readonly gold: string;
  readonly initialCount: number;
  readonly initialCorrect: number;
  readonly refinementCount: number;
  readonly refinementCorrect: number;
  readonly flags: readonly GroupFlag[];
}

/** Rollout files are indexed in the background: totals grow until `done`. */
export interface IndexProgress {
  readonly indexedSteps: number;
  readonly totalSteps: number;
  readonly done: boolean;
  /** Lines that are not JSON; they are left out. */
  readonly damagedLines: number;
}

export interface GroupPage {
  readonly groups: readonly GroupSummary[];
  /** Groups of the selection before paging, null for a text search, which stops at a page. */
  readonly matching: number | null;
  /** Where the next page begins, null at the end. */
  readonly next: string | null;
  /** Groups of the selected step or of the run, by flag. */
  readonly counts: Readonly<Record<GroupFlag, number>>;
  readonly total: number;
  readonly index: IndexProgress;
}

export interface RewardView {
  readonly value: number;
  readonly correct: boolean;
  readonly parts: Readonly<Record<string, number>>;
  readonly failure: string | null;
}

export interface CritiqueView {
  readonly kind: string;
  readonly text: string;
  readonly failure: string | null;
  /** The critic's own judgement of the response. */
  readonly verdict: "right" | "wrong" | null;
  /** Whether that agrees with the verifier. */
  readonly agrees: boolean | null;
  /** The critique gives the gold answer away. */
  readonly leak: boolean | null;
  readonly latencyMs: number | null;
  readonly tokens: number | null;
  readonly cost: number | null;
  /** Characters it had before it was cut to fit the context. */
  readonly cutFrom: number | null;
  /** What the model was asked, where a model wrote it. */
  readonly prompt: string | null;
}

export interface ResponseView {
  readonly index: number;
  readonly text: string;
  /** What reads like the final answer, null if nothing does. */
  readonly answer: string | null;
  readonly length: number;
  readonly truncated: boolean;
  readonly reward: RewardView;
  /** In the training group. */
  readonly kept: boolean;
  readonly advantage: number | null;
  /** Mean log π of its tokens, as sampled. */
  readonly meanLogprob: number | null;
}

export interface InitialResponseView extends ResponseView {
  readonly critique: CritiqueView | null;
  readonly refinementSkipped: string | null;
}

export interface RefinementView extends ResponseView {
  /** `index` of the initial response. */
  readonly refines: number;
}

export interface GroupDetail {
  readonly step: number;
  readonly line: number;
  readonly question: {
    readonly id: string;
    readonly dataSource: string;
    readonly text: string;
    readonly gold: string;
    /** What the policy was asked, message by message; one message without a role for a plain prompt. */
    readonly prompt: readonly { readonly role: string | null; readonly content: string }[];
  };
  readonly promptTokens: number;
  readonly initial: readonly InitialResponseView[];
  readonly refinements: readonly RefinementView[];
  readonly flags: readonly GroupFlag[];
}

/** A token of a response and what training made of it. */
export interface TokenView {
  readonly id: number;
  /** Its piece of the text; null where the run's tokenizer was not found. */
  readonly text: string | null;
  /** log π as sampled: of a refinement given the refinement prompt. */
  readonly logprob: number;
  /** Shaping weight f(p) with p = exp(logprob). */
  readonly shaped: number;
  /** ∂objective/∂log π before aggregation: A for an initial response, A·f'(p)·p for a refinement; null if not trained. */
  readonly pull: number | null;
}

export interface TokensAnswer {
  readonly tokens: readonly TokenView[];
  /** Why the tokens have no text, null if they have. */
  readonly problem: string | null;
  /** The run's f, such as "p / (p + 0.1)". */
  readonly shaping: string;
}
