/**
 * Functions that a user writes next to the YAML, with helpers that only add types:
 * `export default defineReward(({ question, text }) => text.includes(question.gold) ? 1 : 0)`.
 * This module imports types only: user modules get it as "critique-grpo".
 */
import type { ChatMessage } from "../data/question.js";
import type { CritiqueFunction } from "../feedback/critique/program.js";
import type { RewardFunction } from "../feedback/reward/reward.js";

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

export function defineCritic(critic: CritiqueFunction): CritiqueFunction {
  return critic;
}

export function defineDataMap(mapRow: MapRowFunction): MapRowFunction {
  return mapRow;
}
