/**
 * A policy small enough to be exact: the logits of the next token are a row of a table, chosen by the previous token.
 * Its gradients are written out by hand in float64, so it is the oracle for what is said about a policy, and it learns.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type {
  AdamWParameters,
  ForwardBackwardResult,
  OptimizerStepResult,
  Policy,
  PolicyInfo,
  SampledSequence,
  SampleRequest,
  TokenLogprobs,
  TokenLoss,
  TokenSequence,
} from "../policy/policy.js";
import { deriveSeed } from "../rollout/seeds.js";

export interface TabularPolicyOptions {
  readonly vocabularySize: number;
  readonly contextLength?: number;
  /** Starting logits by (previous token, next token), row by row; default 0. */
  readonly logits?: Float64Array;
  /** Sequences in one pass; must not change anything beyond rounding. */
  readonly microBatch?: number;
  readonly capabilities?: Partial<PolicyInfo["capabilities"]>;
}

interface State {
  readonly logits: number[];
  readonly first: number[];
  readonly second: number[];
  readonly steps: number;
}

/** Logits of the next token depend on the previous token alone (a bigram model). */
export class TabularPolicy implements Policy {
  readonly info: PolicyInfo;
  readonly logits: Float64Array;
  readonly gradient: Float64Array;
  /** What has been asked for, for tests. */
  readonly requests: SampleRequest[] = [];
  closed = false;
  readonly #reference: Float64Array;
  readonly #first: Float64Array;
  readonly #second: Float64Array;
  readonly #size: number;
  readonly #microBatch: number;
  #steps = 0;

  constructor(options: TabularPolicyOptions) {
    const { vocabularySize: size, contextLength = 64, logits, microBatch = Number.POSITIVE_INFINITY } = options;
    this.#size = size;
    this.#microBatch = microBatch;
    this.logits = logits === undefined ? new Float64Array(size * size) : Float64Array.from(logits);
    this.gradient = new Float64Array(size * size);
    this.#reference = Float64Array.from(this.logits);
    this.#first = new Float64Array(size * size);
    this.#second = new Float64Array(size * size);
    this.info = {
      engine: "embedded",
      model: "tabular",
      device: "cpu",
      contextLength,
      parameterCount: size * size,
      vocabularySize: size,
      eosTokenIds: [],
      capabilities: {
        exactEntropy: true,
        fullFineTuning: true,
        reference: true,
        staleSamplersSafe: true,
        ...options.capabilities,
      },
    };
  }

  async *sample(
    requests: readonly SampleRequest[],
    options: { signal?: AbortSignal } = {},
  ): AsyncIterable<SampledSequence> {
    this.requests.push(...requests);
    // Last request first: callers must not count on any order.
    for (let requestIndex = requests.length - 1; requestIndex >= 0; requestIndex--) {
      const request = requests[requestIndex]!;
      for (let sampleIndex = 0; sampleIndex < request.count; sampleIndex++) {
        await Promise.resolve();
        options.signal?.throwIfAborted();
        yield { requestIndex, sampleIndex, policyVersion: this.#steps, ...this.#draw(request, sampleIndex) };
      }
    }
  }

  async logprobs<S extends TokenSequence>(sequences: readonly S[], options: { temperature?: number } = {}) {
    return sequences.map((sequence) => this.#evaluate(this.logits, sequence, options.temperature ?? 1));
  }

  async referenceLogprobs<S extends TokenSequence>(sequences: readonly S[], options: { temperature?: number } = {}) {
    return sequences.map((sequence) => this.#evaluate(this.#reference, sequence, options.temperature ?? 1));
  }

  async forwardBackward<S extends TokenSequence>(
    sequences: readonly S[],
    tokenLoss: TokenLoss<S>,
    options: { temperature?: number } = {},
  ): Promise<ForwardBackwardResult<S>> {
    const temperature = options.temperature ?? 1;
    const results: { sequence: S; current: TokenLogprobs; loss: number }[] = [];
    for (let start = 0; start < sequences.length; start += this.#microBatch) {
      for (const sequence of sequences.slice(start, start + this.#microBatch)) {
        const current = this.#evaluate(this.logits, sequence, temperature);
        const { loss, logprobGradient, entropyGradient } = tokenLoss(sequence, current);
        this.#backward(sequence, logprobGradient, entropyGradient, temperature);
        results.push({ sequence, current, loss });
      }
    }
    const tokens = sequences.reduce((sum, { prompt, response }) => sum + prompt.length + response.length, 0);
    const loss = results.reduce((sum, result) => sum + result.loss, 0);
    return { loss, sequences: results, tokens, computedTokens: tokens, paddingTokens: 0 };
  }

  async optimizerStep(parameters: AdamWParameters): Promise<OptimizerStepResult> {
    const gradNorm = Math.hypot(...this.gradient);
    const skipped = !Number.isFinite(gradNorm);
    if (!skipped) {
      const { maxGradNorm } = parameters;
      this.#adamW(parameters, maxGradNorm > 0 && gradNorm > maxGradNorm ? maxGradNorm / gradNorm : 1);
    }
    this.gradient.fill(0);
    return { gradNorm, skipped };
  }

  async saveState(directory: string): Promise<void> {
    const state: State = {
      logits: [...this.logits],
      first: [...this.#first],
      second: [...this.#second],
      steps: this.#steps,
    };
    await writeFile(join(directory, "tabular.json"), JSON.stringify(state));
  }

  async loadState(directory: string): Promise<void> {
    const state = JSON.parse(await readFile(join(directory, "tabular.json"), "utf8")) as State;
    this.logits.set(state.logits);
    this.#first.set(state.first);
    this.#second.set(state.second);
    this.#steps = state.steps;
  }

  async exportModel(directory: string): Promise<void> {
    await writeFile(join(directory, "model.json"), JSON.stringify([...this.logits]));
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  /** Distribution of the token after `previous`. */
  probabilities(previous: number, temperature = 1, logits = this.logits): Float64Array {
    const row = logits.subarray(previous * this.#size, (previous + 1) * this.#size);
    const highest = Math.max(...row);
    const exponentials = Float64Array.from(row, (logit) => Math.exp((logit - highest) / temperature));
    const total = exponentials.reduce((sum, value) => sum + value, 0);
    return exponentials.map((value) => value / total);
  }

  #draw(request: SampleRequest, sampleIndex: number) {
    const { prompt, maxTokens, stopTokens, temperature, seed } = request;
    const tokens: number[] = [];
    const logprobs: number[] = [];
    let previous = prompt.at(-1)!;
    while (tokens.length < maxTokens) {
      const probabilities = this.probabilities(previous, temperature === 0 ? 1 : temperature);
      const uniform = deriveSeed(seed, sampleIndex, tokens.length) / 2 ** 31;
      const token = temperature === 0 ? argmax(probabilities) : inverseCdf(truncate(probabilities, request), uniform);
      tokens.push(token);
      logprobs.push(Math.log(probabilities[token]!));
      if (stopTokens.includes(token)) break;
      previous = token;
    }
    const stopped = stopTokens.includes(tokens.at(-1)!);
    return { tokens, logprobs: Float32Array.from(logprobs), stopReason: stopped ? "stop" : "length" } as const;
  }

  #evaluate(logits: Float64Array, { prompt, response }: TokenSequence, temperature: number): TokenLogprobs {
    const logprobs = new Float32Array(response.length);
    const entropies = new Float32Array(response.length);
    let previous = prompt.at(-1)!;
    for (const [t, token] of response.entries()) {
      const probabilities = this.probabilities(previous, temperature, logits);
      logprobs[t] = Math.log(probabilities[token]!);
      entropies[t] = entropyOf(probabilities);
      previous = token;
    }
    return { logprobs, entropies };
  }

  /** ∂ℓ/∂z_v = (1[v = y] − p_v)/T and ∂H/∂z_v = −p_v (log p_v + H)/T. */
  #backward(
    { prompt, response }: TokenSequence,
    logprobGradient: Float32Array,
    entropyGradient: Float32Array | undefined,
    temperature: number,
  ): void {
    let previous = prompt.at(-1)!;
    for (const [t, token] of response.entries()) {
      const probabilities = this.probabilities(previous, temperature);
      const entropy = entropyOf(probabilities);
      for (let v = 0; v < this.#size; v++) {
        const p = probabilities[v]!;
        const policy = logprobGradient[t]! * ((v === token ? 1 : 0) - p);
        const bonus = p === 0 ? 0 : (entropyGradient?.[t] ?? 0) * -p * (Math.log(p) + entropy);
        this.gradient[previous * this.#size + v]! += (policy + bonus) / temperature;
      }
      previous = token;
    }
  }

  #adamW({ learningRate, beta1, beta2, epsilon, weightDecay }: AdamWParameters, scale: number): void {
    this.#steps++;
    for (let i = 0; i < this.logits.length; i++) {
      const gradient = this.gradient[i]! * scale;
      this.#first[i] = beta1 * this.#first[i]! + (1 - beta1) * gradient;
      this.#second[i] = beta2 * this.#second[i]! + (1 - beta2) * gradient * gradient;
      const first = this.#first[i]! / (1 - beta1 ** this.#steps);
      const second = this.#second[i]! / (1 - beta2 ** this.#steps);
      this.logits[i]! -= learningRate * (first / (Math.sqrt(second) + epsilon) + weightDecay * this.logits[i]!);
    }
  }
}

function entropyOf(probabilities: Float64Array): number {
  return probabilities.reduce((sum, p) => (p === 0 ? sum : sum - p * Math.log(p)), 0);
}

function argmax(values: Float64Array): number {
  return values.indexOf(Math.max(...values));
}

/** What remains of a distribution after top-k and top-p, as probabilities. */
function truncate(probabilities: Float64Array, { topK, topP }: SampleRequest): Float64Array {
  if (topK === 0 && topP === 1) return probabilities;
  const order = [...probabilities.keys()].sort((a, b) => probabilities[b]! - probabilities[a]!);
  const kept = new Float64Array(probabilities.length);
  let total = 0;
  for (const token of order.slice(0, topK === 0 ? order.length : topK)) {
    if (total >= topP) break;
    kept[token] = probabilities[token]!;
    total += kept[token];
  }
  return kept.map((p) => p / total);
}

function inverseCdf(probabilities: Float64Array, uniform: number): number {
  let cumulative = 0;
  for (const [token, p] of probabilities.entries()) {
    cumulative += p;
    if (uniform < cumulative) return token;
  }
  return probabilities.length - 1;
}
