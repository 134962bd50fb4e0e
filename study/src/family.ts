/** A task of the study: what a seed's questions, warm-up and critics are. One file each in `families/`. */
import type { EvaluationOptions, Policy, Question, SftSettings, TextCodec, TextPair } from "critique-grpo";

export const FAMILY_NAMES = ["carry-addition", "operations"] as const;
export type FamilyName = (typeof FAMILY_NAMES)[number];

/** Who writes critiques; a family has those that its model was taught to read. */
export type CriticName = "simple" | "simple_gt" | "text" | "self";

export interface QuestionSets {
  readonly train: readonly object[];
  readonly heldOut: readonly object[];
}

export interface SetSizes {
  readonly train: number;
  readonly heldOut: number;
}

/** A model, and how its answers are read and judged. */
export interface Examinee {
  readonly policy: Policy;
  readonly codec: TextCodec;
  readonly score: EvaluationOptions["score"];
}

export interface GateResult {
  readonly passed: boolean;
  /** What was looked at, as fractions. */
  readonly measured: Readonly<Record<string, number>>;
}

export interface Family {
  readonly name: FamilyName;
  /** One line for the report. */
  readonly title: string;
  /** The configuration that every method shares; methods choose the preset and override keys. */
  readonly configFile: string;
  /** Longest response, the end token included. */
  readonly responseTokens: number;
  /** Values of the key `critique`, as in YAML. */
  readonly critics: Readonly<Partial<Record<CriticName, string>>>;
  /** The critic of methods that name none of their own. */
  readonly mainCritic: CriticName;
  readonly sizes: SetSizes;
  /** Training steps of every method. */
  readonly steps: number;
  /** With as many initial responses Dr. GRPO samples no fewer tokens than Critique-GRPO with its refinements. */
  readonly equalTokenResponses: number;
  readonly warmUp: {
    readonly steps: number;
    readonly batchSize: number;
    /** A warm-up that has not passed the gate goes on for as many steps, this often at most. */
    readonly extensionSteps: number;
    readonly maxExtensions: number;
    optimizer(first: boolean): SftSettings["optimizer"];
    /** The pairs of a step; they depend on seed and step alone. */
    pairs(seed: number): (step: number) => readonly TextPair[];
  };
  /** Disjoint sets; the same seed gives the same rows. */
  questions(seed: number, sizes: SetSizes): QuestionSets;
  /** Tokenizer files, and with `config` the architecture of a fresh model. */
  writeModelFiles(directory: string, options: { config: boolean }): Promise<void>;
  /** Whether the warm-up has converged: reinforcement learning from one that has not would say nothing of the methods. */
  gate(examinee: Examinee, seed: number, heldOut: readonly Question[]): Promise<GateResult>;
}
