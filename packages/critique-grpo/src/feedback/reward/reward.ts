/** Numerical feedback: reward functions, their weighted sum, and what happens when one fails. */
import type { Question } from "../../data/question.js";
import type { StopReason } from "../../policy/policy.js";
import type { Reward } from "../../rollout/records.js";

/** What a reward function sees of a response. */
export interface RewardSample {
  readonly question: Question;
  /** Without special tokens. */
  readonly text: string;
  readonly tokens: readonly number[];
  /** "length": the response was cut off. */
  readonly stopReason: StopReason;
}

/** A verifier: a number (higher is better, 1 = right by convention), or a boolean for right and wrong. */
export type RewardFunction = (
  sample: RewardSample,
  options: Readonly<Record<string, unknown>>,
) => number | boolean | Promise<number | boolean>;

export interface WeightedReward {
  /** Unique in its list; the name of its part in the record. */
  readonly name: string;
  readonly score: RewardFunction;
  /** Default 1. */
  readonly weight?: number;
  readonly options?: Readonly<Record<string, unknown>>;
  /** Why the reward cannot judge answers to this gold answer; null if it can. Asked before a run starts. */
  readonly unverifiable?: (gold: string) => string | null;
}

/** Scores one response; never throws. */
export type Scorer = (question: Question, response: Omit<RewardSample, "question">) => Promise<Reward>;

/**
 * The weighted sum of reward functions. A function that throws or returns anything but a finite number or a boolean
 * makes the sample's reward 0 and wrong, with the reason in `failure`; the run goes on.
 * @throws Error on an empty list or a repeated name.
 */
export function createScorer(rewards: readonly WeightedReward[], correctAt: number): Scorer {
  if (rewards.length === 0) throw new Error("A run needs at least one reward function; the list of rewards is empty");
  const names = rewards.map((reward) => reward.name);
  const repeated = names.find((name, index) => names.indexOf(name) !== index);
  if (repeated !== undefined) throw new Error(`Two rewards are called "${repeated}"; give each its own name`);

  return async (question, response) => {
    const parts: Record<string, number> = {};
    const failures: string[] = [];
    let value = 0;
    for (const { name, score, weight = 1, options = {} } of rewards) {
      try {
        const part = toNumber(await score({ question, ...response }, options));
        parts[name] = part;
        value += weight * part;
      } catch (error) {
        failures.push(`reward "${name}": ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    if (failures.length > 0) return { value: 0, correct: false, parts, failure: failures.join("; ") };
    return { value, correct: value >= correctAt, parts };
  };
}

function toNumber(result: unknown): number {
  if (typeof result === "boolean") return result ? 1 : 0;
  if (typeof result === "number" && Number.isFinite(result)) return result;
  const shown =
    typeof result === "number" ? String(result) : `a value of type ${result === null ? "null" : typeof result}`;
  throw new TypeError(`returned ${shown}; it must return a finite number or a boolean`);
}
