/**
 * The entropy bonus without the whole distribution. With y ~ π(·|s): H(s) = E[−log π(y|s)] and, as E[∇log π] = 0,
 * ∇H(s) = E[−(log π(y|s) + b) ∇log π(y|s)] for any b that does not depend on y: the score-function estimate. Tokens drawn by
 * π_old count with the ratio π/π_old, as in the policy term.
 */

export interface SequenceGradient {
  readonly logprobs: Float32Array;
  /** null: not drawn from the policy, so of no use for the estimate. */
  readonly oldLogprobs: Float32Array | null;
  readonly logprobGradient: Float32Array;
  /** ∂loss/∂H of each token. */
  readonly entropyGradient: Float32Array | null;
}

interface Drawn {
  readonly sequence: { readonly oldLogprobs?: Float32Array | null };
  readonly logprobs: Float32Array;
}

/** Mean of −log π over the tokens that were drawn from the policy: an estimate of its entropy. NaN without such tokens. */
export function meanSurprisal(members: readonly Drawn[]): number {
  let sum = 0;
  let tokens = 0;
  for (const { sequence, logprobs } of members) {
    if (sequence.oldLogprobs === null || sequence.oldLogprobs === undefined) continue;
    for (const logprob of logprobs) sum -= logprob;
    tokens += logprobs.length;
  }
  return sum / tokens;
}

/**
 * ∂loss/∂log π with the entropy term's estimate added. Only sequences drawn from the policy carry it; they stand for the
 * others too, so that the bonus keeps its weight. b is the mean of −log π over the other sequences' tokens (0 if there are
 * none): independent of the sequence's own draws, so the estimate is unbiased where π = π_old.
 */
export function withEntropyEstimate(sequences: readonly SequenceGradient[]): Float32Array[] {
  const drawn = sequences.filter(({ oldLogprobs }) => oldLogprobs !== null);
  const wanted = total(sequences.map(({ entropyGradient }) => total(entropyGradient ?? [])));
  const carried = total(drawn.map(({ entropyGradient }) => total(entropyGradient ?? [])));
  const scale = carried === 0 ? 0 : wanted / carried;
  const sum = total(drawn.map(({ logprobs }) => -total(logprobs)));
  const tokens = total(drawn.map(({ logprobs }) => logprobs.length));
  return sequences.map(({ logprobs, oldLogprobs, logprobGradient, entropyGradient }) => {
    if (oldLogprobs === null || entropyGradient === null) return logprobGradient;
    const others = tokens - logprobs.length;
    const baseline = others === 0 ? 0 : (sum + total(logprobs)) / others;
    return logprobGradient.map((gradient, t) => {
      const logprob = logprobs[t]!;
      const ratio = Math.exp(logprob - oldLogprobs[t]!);
      return gradient + scale * entropyGradient[t]! * ratio * (-logprob - baseline);
    });
  });
}

function total(values: Iterable<number>): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum;
}
