import type { TokenLogprobs, TokenLoss, TokenLossResult, TokenSequence } from "../types.js";

/** Sequences of the same prompt and response: the network evaluates them once, each then has a loss of its own. */
export interface IdenticalSequences extends TokenSequence {
  /** Their indices in the list they come from; at least one. */
  readonly members: readonly number[];
}

/** Sequences that feed the same tokens to the layers: the last response token is predicted but never read. */
export interface SharedInput {
  readonly tokens: readonly number[];
  /** Number of the prompt that the tokens start with, and how long it is: inputs may have it in common. */
  readonly prompt: number;
  readonly promptLength: number;
  readonly sequences: readonly IdenticalSequences[];
}

export interface EvaluatedSequence {
  readonly current: TokenLogprobs;
  readonly loss: number;
}

/**
 * Gathers what the network need not compute twice, in the order of first members. A group of short answers holds much of
 * it: one-token answers to a question share all of their input. Sequences without a response are left out.
 */
export function gatherInputs(sequences: readonly TokenSequence[]): readonly SharedInput[] {
  const inputs = new Map<string, { readonly tokens: readonly number[]; readonly sequences: Distinct[] }>();
  const distinct = new Map<string, Distinct>();
  for (const [index, { prompt, response }] of sequences.entries()) {
    if (response.length === 0) continue;
    const tokens = [...prompt, ...response.slice(0, -1)];
    const inputKey = tokens.join();
    const key = `${prompt.length}|${inputKey},${response.at(-1)}`;
    const known = distinct.get(key);
    if (known) {
      known.members.push(index);
      continue;
    }
    const sequence = { prompt, response, members: [index] };
    distinct.set(key, sequence);
    const input = inputs.get(inputKey);
    if (input) input.sequences.push(sequence);
    else inputs.set(inputKey, { tokens, sequences: [sequence] });
  }
  const prompts = new Map<string, number>();
  return [...inputs.values()].map((input) => {
    // Whatever comes after the shortest prompt of an input is a response to it.
    const { prompt } = input.sequences.reduce((a, b) => (b.prompt.length < a.prompt.length ? b : a));
    const key = prompt.join();
    const number = prompts.get(key) ?? prompts.size;
    prompts.set(key, number);
    return { ...input, prompt: number, promptLength: prompt.length };
  });
}

type Distinct = TokenSequence & { readonly members: number[] };

/**
 * The loss of identical sequences: the sum of the members' losses, each computed with its own record, for what they differ
 * in (advantage, old log-probabilities) is the loss's business. Every member's result is put into `results` at its index;
 * without a token loss that is all.
 */
export function evaluateMembers<S extends TokenSequence>(
  sequences: readonly S[],
  tokenLoss: TokenLoss<S> | undefined,
  results: EvaluatedSequence[],
): (identical: IdenticalSequences, current: TokenLogprobs) => TokenLossResult | undefined {
  return ({ members }, current) => {
    const losses: TokenLossResult[] = [];
    for (const index of members) {
      const result = tokenLoss && checkedLoss(tokenLoss, sequences[index]!, current, index);
      results[index] = { current, loss: result?.loss ?? 0 };
      if (result) losses.push(result);
    }
    return losses.length < 2 ? losses[0] : sumOf(losses);
  };
}

function sumOf(losses: readonly TokenLossResult[]): TokenLossResult {
  const entropyGradients = losses.flatMap(({ entropyGradient }) => entropyGradient ?? []);
  return {
    loss: losses.reduce((sum, { loss }) => sum + loss, 0),
    logprobGradient: addUp(losses.map(({ logprobGradient }) => logprobGradient)),
    ...(entropyGradients.length > 0 ? { entropyGradient: addUp(entropyGradients) } : {}),
  };
}

function addUp(arrays: readonly Float32Array[]): Float32Array {
  const sum = Float32Array.from(arrays[0]!);
  for (const array of arrays.slice(1)) for (const [i, value] of array.entries()) sum[i]! += value;
  return sum;
}

/** Calls the token loss and refuses arrays of another length than the response. */
function checkedLoss<S extends TokenSequence>(
  tokenLoss: TokenLoss<S>,
  sequence: S,
  current: TokenLogprobs,
  index: number,
): TokenLossResult {
  const result = tokenLoss(sequence, current);
  const expected = sequence.response.length;
  for (const key of ["logprobGradient", "entropyGradient"] as const) {
    const actual = result[key]?.length ?? (key === "entropyGradient" ? expected : 0);
    if (actual !== expected)
      throw new Error(
        `The token loss of sequence ${index} returned ${actual} values in ${key}; its response has ${expected} tokens.`,
      );
  }
  return result;
}
