import type { SampledSequence, SampleRequest, StopReason } from "../types.js";
import { RandomStream } from "./random.js";
import type { Sampler, SamplingParameters } from "./sampler.js";

/** A request in the form that drawing tokens needs. */
export interface PreparedRequest {
  readonly index: number;
  readonly request: SampleRequest;
  readonly stopTokens: ReadonlySet<number>;
  readonly parameters: SamplingParameters;
}

export function prepareRequest(request: SampleRequest, index: number): PreparedRequest {
  const { temperature, topK = 0, topP = 1 } = request;
  return { index, request, stopTokens: new Set(request.stopTokens), parameters: { temperature, topK, topP } };
}

/** 1 / temperature, and 1 for greedy requests, whose logprobs are those at temperature 1. */
export function inverseTemperature({ parameters: { temperature } }: PreparedRequest): number {
  return temperature === 0 ? 1 : 1 / temperature;
}

/** A continuation in progress. */
export class Sequence {
  readonly prepared: PreparedRequest;
  readonly sampleIndex: number;
  readonly #random: RandomStream;
  #tokens: Int32Array;
  #logprobs: Float32Array;
  #count = 0;

  constructor(prepared: PreparedRequest, sampleIndex: number) {
    this.prepared = prepared;
    this.sampleIndex = sampleIndex;
    this.#random = new RandomStream(prepared.request.seed, sampleIndex);
    const space = Math.min(prepared.request.maxTokens, 64);
    this.#tokens = new Int32Array(space);
    this.#logprobs = new Float32Array(space);
  }

  /** Tokens of prompt and continuation. */
  get length(): number {
    return this.prepared.request.prompt.length + this.#count;
  }

  get lastToken(): number {
    return this.#tokens[this.#count - 1]!;
  }

  /** Draws the next token from a row of the model's outputs. Returns why the sequence ends with it, if it does. */
  extend(sampler: Sampler, logits: Float32Array, probabilities: Float32Array, offset: number): StopReason | undefined {
    const { prepared } = this;
    const token = sampler.draw(logits, probabilities, offset, prepared.parameters, this.#random);
    if (this.#count === this.#tokens.length) this.#grow();
    this.#tokens[this.#count] = token;
    this.#logprobs[this.#count] = Math.log(probabilities[offset + token]!);
    this.#count++;
    if (prepared.stopTokens.has(token)) return "stop";
    return this.#count === prepared.request.maxTokens ? "length" : undefined;
  }

  #grow(): void {
    const space = Math.min(this.prepared.request.maxTokens, 2 * this.#tokens.length);
    const tokens = new Int32Array(space);
    tokens.set(this.#tokens);
    this.#tokens = tokens;
    const logprobs = new Float32Array(space);
    logprobs.set(this.#logprobs);
    this.#logprobs = logprobs;
  }

  finish(stopReason: StopReason): SampledSequence {
    return {
      requestIndex: this.prepared.index,
      sampleIndex: this.sampleIndex,
      tokens: Array.from(this.#tokens.subarray(0, this.#count)),
      logprobs: this.#logprobs.slice(0, this.#count),
      stopReason,
    };
  }
}
