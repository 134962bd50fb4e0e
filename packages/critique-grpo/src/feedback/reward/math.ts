/** The `math` reward: is the answer of the response mathematically equal to the gold answer? */
import { checkGold, type VerifyOptions } from "@critique-grpo/math-verify";
import { VerifierPool } from "@critique-grpo/math-verify/pool";
import { readOptions } from "./options.js";
import type { RewardFunction } from "./reward.js";

/** One pool for each time limit in use; idle workers do not keep the process alive. */
const pools = new Map<number, VerifierPool>();

function poolFor(timeoutMs: number): VerifierPool {
  let pool = pools.get(timeoutMs);
  if (pool === undefined) {
    pool = new VerifierPool({ timeoutMs });
    pools.set(timeoutMs, pool);
  }
  return pool;
}

interface MathOptions {
  readonly timeoutMs: number;
  readonly verify: VerifyOptions;
}

function mathOptions(options: Readonly<Record<string, unknown>>): MathOptions {
  const { timeoutMs, strict, floatRounding } = readOptions("math", options, {
    timeoutMs: { type: "number", minimum: 1, default: 5000 },
    strict: { type: "boolean", default: true },
    floatRounding: { type: "number", minimum: 0, default: 6 },
  });
  // What a response puts in a box is its answer; an interval may answer an inequality and the other way round.
  return { timeoutMs, verify: { strict, floatRounding, boxedPriority: 0, allowSetRelationComparison: true } };
}

/**
 * 1 if the response's final answer equals the gold answer (`@critique-grpo/math-verify`), else 0. Runs in a worker
 * thread that is killed after `timeoutMs` of work. A gold answer that cannot be parsed, an internal error and a timeout
 * are failures of the sample (counted and shown), never a silent 0. Options: `timeoutMs` (5000), `strict`
 * (variables keep their names; true), `floatRounding` (6). The last box counts first; the reward `format` can ask for one.
 */
export const math: RewardFunction = async ({ question, text }, options) => {
  const { timeoutMs, verify } = mathOptions(options);
  if (text === "") return 0;
  const verdict = await poolFor(timeoutMs).verify(question.gold, text, verify);
  switch (verdict.outcome) {
    case "correct":
      return 1;
    case "incorrect":
      return 0;
    case "unverifiable":
    case "error":
    case "timeout":
      throw new Error(`${verdict.outcome}: ${verdict.reason} (gold answer ${JSON.stringify(question.gold)})`);
    default:
      throw new RangeError(`Unknown outcome ${String(verdict.outcome satisfies never)}`);
  }
};

/** The answer that a response gives, as text, null if none is found; killed like the reward, never throws. */
export async function readMathAnswer(
  gold: string,
  text: string,
  options: Readonly<Record<string, unknown>>,
): Promise<string | null> {
  const { timeoutMs, verify } = mathOptions(options);
  return text === "" ? null : (await poolFor(timeoutMs).verify(gold, text, verify)).prediction;
}

/** Whether two answers that `readMathAnswer` found mean the same; false where that cannot be told. */
export async function equalMathAnswers(
  a: string,
  b: string,
  options: Readonly<Record<string, unknown>>,
): Promise<boolean> {
  const { timeoutMs, verify } = mathOptions(options);
  return (await poolFor(timeoutMs).verify(a, `\\boxed{${b}}`, verify)).correct;
}

/** Why this gold answer cannot be verified against; null if it can. */
export function unverifiableMathGold(gold: string, options: Readonly<Record<string, unknown>>): string | null {
  const { verifiable, reason } = checkGold(gold, mathOptions(options).verify);
  return verifiable ? null : reason;
}
