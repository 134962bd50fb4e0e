import type { TokenLoss, TokenSequence } from "../types.js";
import { checkedLoss, type EvaluatedSequence } from "./lane.js";

/** Sequences of the same tokens: the network sees them once. */
export interface IdenticalSequences extends TokenSequence {
  /** Their indices in the list they come from; at least one. */
  readonly members: readonly number[];
}

/**
 * Gathers sequences with the same prompt and response, in the order of their first members. A group of short answers holds
 * many: the surer the policy, the more.
 */
export function gatherIdentical(sequences: readonly TokenSequence[]): readonly IdenticalSequences[] {
  const gathered = new Map<string, TokenSequence & { readonly members: number[] }>();
  for (const [index, { prompt, response }] of sequences.entries()) {
    const key = `${prompt.join()}|${response.join()}`;
    const known = gathered.get(key);
    if (known) known.members.push(index);
    else gathered.set(key, { prompt, response, members: [index] });
  }
  return [...gathered.values()];
}

/**
 * The sum of the members' losses, each computed with its own record: what they differ in (advantage, old log-probabilities)
 * is the loss's business. Every member's result is put into `results` at its index.
 */
export function lossOfMembers<S extends TokenSequence>(
  sequences: readonly S[],
  tokenLoss: TokenLoss<S>,
  results: EvaluatedSequence[],
): TokenLoss<IdenticalSequences> {
  return ({ members }, current) => {
    const losses = members.map((index) => {
      const result = checkedLoss(tokenLoss, sequences[index]!, current, index);
      results[index] = { current, loss: result.loss };
      return result;
    });
    if (losses.length === 1) return losses[0]!;
    const withEntropy = losses.some(({ entropyGradient }) => entropyGradient !== undefined);
    return {
      loss: losses.reduce((sum, { loss }) => sum + loss, 0),
      logprobGradient: addUp(losses.map(({ logprobGradient }) => logprobGradient)),
      ...(withEntropy ? { entropyGradient: addUp(losses.flatMap((result) => result.entropyGradient ?? [])) } : {}),
    };
  };
}

function addUp(arrays: readonly Float32Array[]): Float32Array {
  const sum = Float32Array.from(arrays[0]!);
  for (const array of arrays.slice(1)) for (const [i, value] of array.entries()) sum[i]! += value;
  return sum;
}
