/**
 * Functions that a user writes next to the YAML, with helpers that only add types:
 * `export default defineReward(({ question, response }) => response.includes(question.gold) ? 1 : 0)`.
 * This module imports types only: user modules get it as "critique-grpo".
 */
import type { ChatMessage, Question } from "../data/question.js";
import type { StopReason } from "../policy/policy.js";
import type { Reward } from "../rollout/records.js";

export interface RewardInput {
  readonly question: Question;
  /** Decoded response, without special tokens. */
  readonly response: string;
  /** The tokens that were sampled, the stop token included. */
  readonly tokens: readonly number[];
  /** "length" = cut off at the maximum; it has no stop token. */
  readonly stopReason: StopReason;
  /** `options` of this function in the YAML. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** A number, true/false as 1/0, or a number with its own verdict and named parts. */
export type RewardOutcome =
  | number
  | boolean
  | { readonly value: number; readonly correct?: boolean; readonly parts?: Readonly<Record<string, number>> };

/** One that throws or returns no finite number fails that sample visibly; the run goes on. */
export type RewardFunction = (input: RewardInput) => RewardOutcome | Promise<RewardOutcome>;

export interface CriticInput {
  readonly question: Question;
  /** Decoded response that is to be refined. */
  readonly response: string;
  readonly reward: Reward;
}

/** Writes the critique. One that throws falls back to `simple_gt` and is counted. */
export type CriticFunction = (input: CriticInput) => string | Promise<string>;

/** What `mapRow` returns; null leaves the row out. */
export interface MappedRow {
  /** Messages, or the text of one user message. */
  readonly prompt: string | readonly ChatMessage[];
  /** Gold answer; "" or absent only if the reward needs none. */
  readonly gold?: string;
  /** Default: `<file>#<row>`. */
  readonly id?: string;
  readonly dataSource?: string;
  /** What critique and refinement prompts quote; default: the last user message. */
  readonly text?: string;
  readonly solution?: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
}

export type MapRowFunction = (
  row: Readonly<Record<string, unknown>>,
  index: number,
) => MappedRow | null | Promise<MappedRow | null>;

export function defineReward(reward: RewardFunction): RewardFunction {
  return reward;
}

export function defineCritic(critic: CriticFunction): CriticFunction {
  return critic;
}

export function defineDataMap(mapRow: MapRowFunction): MapRowFunction {
  return mapRow;
}
