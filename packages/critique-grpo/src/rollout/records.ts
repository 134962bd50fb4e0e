/**
 * The records that travel from the sampler to the loss. One response is one object: its tokens, logprobs, reward,
 * critique and provenance stay together, and the tokens trained on are the tokens that were sampled.
 */
import type { Question } from "../data/question.js";
import type { StopReason } from "../policy/policy.js";

/** Outcome of the numerical feedback. */
export interface Reward {
  /** In [0, 1] for the built-in rewards; user rewards may go beyond. NaN never appears here. */
  readonly value: number;
  /** Whether the answer counts as right (default: value ≥ the configured threshold). */
  readonly correct: boolean;
  /** Named parts of a composed reward. */
  readonly parts: Readonly<Record<string, number>>;
  /** A reward function that threw or returned a non-number: the sample scores 0, is counted and says why. */
  readonly failure?: string;
}

export interface Critique {
  readonly kind: "simple" | "simple_gt" | "program" | "teacher" | "self" | "checkpoint";
  /** What the refinement prompt quotes. */
  readonly text: string;
  /** The critic failed and this is the fallback (`simple_gt`): counted, with the reason. */
  readonly failure?: string;
  /** Where it was cut to fit the context: the characters that it had. */
  readonly cutFrom?: number;
  // From here on: what is known of a critique that a language model was asked for, also where it failed.
  /** What the model was asked, without chat markup. */
  readonly prompt?: string;
  /** What the critique concludes; null if it does not say. */
  readonly verdict?: "right" | "wrong" | null;
  /** The verdict is the verifier's; absent without a verdict. */
  readonly agreement?: boolean;
  /** It states the gold answer, which neither question nor response contains. */
  readonly leak?: boolean;
  /** "length": the model was stopped at its longest critique. */
  readonly stopReason?: StopReason;
  /** From the request to its answer, retries and waiting included. */
  readonly latencyMs?: number;
  /** Those of the last call; absent where a server does not tell. */
  readonly tokens?: { readonly prompt: number; readonly completion: number };
  /** Calls to a server, failed ones included. */
  readonly calls?: number;
  /** In the currency of critique.price; what the calls cost together. */
  readonly cost?: number;
  /** An answer to the same prompt was at hand: nothing was asked. */
  readonly cached?: boolean;
}

interface ResponseBase {
  /** Position within the question's responses of this kind. */
  readonly index: number;
  /** What it was sampled from (for a refinement: the refinement prompt). */
  readonly samplingPrompt: readonly number[];
  readonly tokens: readonly number[];
  /** log π_old of each token, given `samplingPrompt`, at the sampling temperature. */
  readonly logprobs: Float32Array;
  readonly text: string;
  readonly stopReason: StopReason;
  readonly policyVersion: number;
  readonly reward: Reward;
}

export interface InitialResponse extends ResponseBase {
  readonly kind: "initial";
  /** Feedback on this response, if it was to be refined. */
  readonly critique?: Critique;
  /** Why this response could not be refined (for example: the refinement prompt does not fit); counted. */
  readonly refinementSkipped?: string;
  /** Why its critique is no target of Critique Fine-Tuning (for example: it is a fallback); counted. */
  readonly critiqueSkipped?: string;
}

export interface Refinement extends ResponseBase {
  readonly kind: "refinement";
  /** `index` of the initial response that it refines. */
  readonly refines: number;
}

export type Response = InitialResponse | Refinement;

/** The question's reference solution as a response: written by somebody else, so that no sampler has logprobs of it. */
export interface ExpertSolution {
  readonly kind: "expert";
  /** Ends in a stop token. */
  readonly tokens: readonly number[];
  readonly text: string;
  readonly reward: Reward;
}

/** A critique as something to learn: the answer to question and response (Critique Fine-Tuning). */
export interface CritiqueTarget {
  readonly kind: "critique";
  /** `index` of the initial response that it judges. */
  readonly judges: number;
  /** Question and response: the context in the loss. */
  readonly prompt: readonly number[];
  /** Ends in a stop token. */
  readonly tokens: readonly number[];
}

/** What is trained on, with its advantage. */
export interface GroupMember {
  readonly response: Response | ExpertSolution | CritiqueTarget;
  /** 1 with the supervised objective. */
  readonly advantage: number;
}

/** All that happened to one question in one step. */
export interface TrainingGroup {
  readonly question: Question;
  /** The tokens of the bare question: the context of every member in the loss, apart from critiques. */
  readonly prompt: readonly number[];
  readonly initial: readonly InitialResponse[];
  /** Every refinement that was sampled, kept or not. */
  readonly refinements: readonly Refinement[];
  /** The initial responses that stay, the selected refinements, the expert solution, the critiques: as `group` says. */
  readonly members: readonly GroupMember[];
}

/** All but initial responses are off-policy: they were not drawn from π(·|prompt). */
export type SequenceOrigin = GroupMember["response"]["kind"];

/** One sequence of the update: what the token loss sees. */
export interface TrainingSequence {
  readonly prompt: readonly number[];
  readonly response: readonly number[];
  /** log π_old of an initial response, else null: the method has no old-policy denominator there. */
  readonly oldLogprobs: Float32Array | null;
  /**
   * Where the sampler is corrected for (algorithm.samplerCorrection), of an initial response: log π of the trainer before the
   * first optimizer step of the update. Null where the sequence's own forward pass tells it: in the first mini-batch.
   */
  readonly proximalLogprobs: Float32Array | null;
  /** log μ of a refinement's tokens after its own prompt, else null: for the importance weight. */
  readonly samplingLogprobs: Float32Array | null;
  /** log π_ref, where a KL term is on. */
  readonly referenceLogprobs: Float32Array | null;
  readonly advantage: number;
  readonly origin: SequenceOrigin;
  /** What every token's loss is multiplied by: from the aggregation over the whole mini-batch. */
  readonly weight: number;
}
