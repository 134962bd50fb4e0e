import type { RandomStream } from "./random.js";

/** How one continuation is drawn. */
export interface SamplingParameters {
  /** 0 = greedy. */
  readonly temperature: number;
  /** 0 = all. */
  readonly topK: number;
  /** 1 = all. */
  readonly topP: number;
}

/** The distribution that a truncated sampler draws from: candidates, and one candidate after another's share. */
interface Candidates {
  count: number;
  readonly tokens: Int32Array;
}

/**
 * Draws tokens from rows of logits. One instance serves a vocabulary; its buffers are reused, so that drawing a token
 * allocates nothing.
 */
export class Sampler {
  readonly #vocabularySize: number;
  readonly #candidates: Candidates;
  readonly #heap: Float32Array;

  constructor(vocabularySize: number) {
    this.#vocabularySize = vocabularySize;
    this.#candidates = { count: 0, tokens: new Int32Array(vocabularySize) };
    this.#heap = new Float32Array(vocabularySize);
  }

  /**
   * Draws one token.
   * @param logits, probabilities One row starts at `offset`: logits divided by the temperature (by 1 if it is 0), and
   * their softmax.
   * @param random Gives exactly one number a token, none if greedy.
   * @throws Error if the row is not finite.
   */
  draw(
    logits: Float32Array,
    probabilities: Float32Array,
    offset: number,
    parameters: SamplingParameters,
    random: RandomStream,
  ): number {
    if (parameters.temperature === 0) return this.#likeliest(logits, offset);
    const target = random.next();
    const { topK, topP } = parameters;
    if ((topK === 0 || topK >= this.#vocabularySize) && topP >= 1)
      return this.#drawFromAll(probabilities, offset, target);
    return this.#drawTruncated(logits, probabilities, offset, parameters, target);
  }

  #likeliest(logits: Float32Array, offset: number): number {
    let best = 0;
    let bestLogit = logits[offset]!;
    for (let token = 1; token < this.#vocabularySize; token++) {
      const logit = logits[offset + token]!;
      // The first of equals wins, as with torch.argmax on the CPU.
      if (logit > bestLogit) {
        best = token;
        bestLogit = logit;
      }
    }
    if (!Number.isFinite(bestLogit)) throw notFinite();
    return best;
  }

  /** Inverts the cumulative distribution. Probabilities sum to 1 but for rounding. */
  #drawFromAll(probabilities: Float32Array, offset: number, target: number): number {
    const size = this.#vocabularySize;
    let cumulative = 0;
    for (let token = 0; token < size; token++) {
      cumulative += probabilities[offset + token]!;
      if (cumulative > target) return token;
    }
    // A NaN anywhere makes every comparison false.
    if (!(cumulative > 0.5)) throw notFinite();
    for (let token = size - 1; token > 0; token--) if (probabilities[offset + token]! > 0) return token;
    return 0;
  }

  /** Top-k first, then top-p of what is left, renormalised: the order of transformers and vLLM. */
  #drawTruncated(
    logits: Float32Array,
    probabilities: Float32Array,
    offset: number,
    { topK, topP }: SamplingParameters,
    target: number,
  ): number {
    const { tokens } = this.#candidates;
    const size = this.#vocabularySize;
    const threshold = topK > 0 && topK < size ? this.#kthLargest(logits, offset, topK) : Number.NEGATIVE_INFINITY;
    let count = 0;
    let total = 0;
    for (let token = 0; token < size; token++) {
      if (logits[offset + token]! >= threshold) {
        tokens[count++] = token;
        total += probabilities[offset + token]!;
      }
    }
    if (!(total > 0) || !Number.isFinite(total)) throw notFinite();
    if (topP < 1) {
      const kept = tokens.subarray(0, count);
      // Ties by token id: the result does not depend on how sort treats equals.
      kept.sort((a, b) => logits[offset + b]! - logits[offset + a]! || a - b);
      const bound = topP * total;
      let cumulative = 0;
      let needed = 0;
      while (needed < count && cumulative < bound) cumulative += probabilities[offset + tokens[needed++]!]!;
      count = Math.max(1, needed);
      total = needed === 0 ? probabilities[offset + tokens[0]!]! : cumulative;
    }
    let cumulative = 0;
    for (let index = 0; index < count; index++) {
      cumulative += probabilities[offset + tokens[index]!]!;
      if (cumulative > target * total) return tokens[index]!;
    }
    return tokens[count - 1]!;
  }

  /** Keeps the k largest in a heap whose root is the smallest of them. Ties with it are kept too, as transformers does. */
  #kthLargest(logits: Float32Array, offset: number, k: number): number {
    const heap = this.#heap;
    const siftDown = (start: number, count: number) => {
      let parent = start;
      for (;;) {
        let child = 2 * parent + 1;
        if (child >= count) return;
        if (child + 1 < count && heap[child + 1]! < heap[child]!) child++;
        if (heap[parent]! <= heap[child]!) return;
        const swap = heap[parent]!;
        heap[parent] = heap[child]!;
        heap[child] = swap;
        parent = child;
      }
    };
    for (let index = 0; index < k; index++) heap[index] = logits[offset + index]!;
    for (let start = (k >> 1) - 1; start >= 0; start--) siftDown(start, k);
    for (let token = k; token < this.#vocabularySize; token++) {
      const logit = logits[offset + token]!;
      if (logit <= heap[0]!) continue;
      heap[0] = logit;
      siftDown(0, k);
    }
    return heap[0]!;
  }
}

function notFinite(): Error {
  return new Error("The model's logits are not finite: its weights may have diverged");
}
