import { asArray, asObject, asString, optional } from "../codec/json.js";
import { sampleRequestToJson, sampleResponseFromJson } from "../codec/json-sampling.js";
import { decodeSampleResponse } from "../codec/proto-sampling.js";
import type { SamplerVersion } from "../dialect/sampler-guard.js";
import { InvalidArgumentError, ProtocolError } from "../errors.js";
import type { ResultPayload } from "../futures/future-poller.js";
import type { SampleRequest, SampleResponse, SamplingParams } from "../protocol/sampling.js";
import { inputLength, type ModelInput, type NumberArray, textInput } from "../protocol/tensors.js";
import { sleep } from "../transport/retry-policy.js";
import { checkOpen, joinSignals, type Session } from "./session.js";
import { ACCEPT_RESULT, promiseId } from "./training-requests.js";

export interface SampleCall {
  readonly prompt: ModelInput | NumberArray;
  readonly samplingParams: SamplingParams;
  readonly numSamples?: number;
  readonly promptLogprobs?: boolean;
  readonly topkPromptLogprobs?: number;
  readonly signal?: AbortSignal;
  /** Longest wait for the samples once the request was taken on. */
  readonly timeoutMs?: number;
}

/** Prompts above this size make the pause after a 429 five times as long. */
const LARGE_PROMPT_BYTES = 128 * 1024;

/** Samples from fixed weights. Any number of calls may be made at once; those beyond the limits wait for their turn. */
export class SamplingClient {
  private nextSeqId = 0;

  constructor(
    private readonly session: Session,
    readonly samplingSessionId: string,
    private readonly version?: SamplerVersion,
  ) {}

  /**
   * Samples continuations of a prompt. Sample i uses `seed + i`; without a seed the server draws one.
   * Throws a StaleSamplerError where the server would sample other weights than this client stands for.
   */
  async sample(call: SampleCall): Promise<SampleResponse> {
    checkOpen(this.session);
    const prompt = isModelInput(call.prompt) ? call.prompt : textInput(call.prompt);
    const request: SampleRequest = {
      target: { samplingSessionId: this.samplingSessionId, seqId: this.nextSeqId },
      prompt,
      numSamples: call.numSamples ?? 1,
      samplingParams: call.samplingParams,
      promptLogprobs: call.promptLogprobs ?? false,
      topkPromptLogprobs: call.topkPromptLogprobs ?? 0,
    };
    checkRequest(request);
    this.nextSeqId++;
    const signal = joinSignals(this.session, call.signal);
    const release = await this.session.samplingSlots.acquire(1, signal);
    try {
      return await this.session.guard.sampling(this.version, () => this.run(request, signal, call.timeoutMs));
    } finally {
      release();
    }
  }

  /**
   * Log-probability of each prompt token given those before it; null for the first. Length n for a prompt of n tokens,
   * also on servers that leave the first one out.
   */
  async computeLogprobs(
    prompt: ModelInput | NumberArray,
    options: { readonly signal?: AbortSignal; readonly timeoutMs?: number } = {},
  ): Promise<(number | null)[]> {
    const input = isModelInput(prompt) ? prompt : textInput(prompt);
    const response = await this.sample({
      prompt: input,
      samplingParams: { maxTokens: 1, temperature: 1 },
      promptLogprobs: true,
      ...options,
    });
    const length = inputLength(input);
    const given = response.promptLogprobs;
    if (given === undefined) throw new ProtocolError("the server gave no prompt logprobs");
    if (given.length > length || given.length < length - 1) {
      throw new ProtocolError(`the server gave ${given.length} prompt logprobs for a prompt of ${length} tokens`);
    }
    return [...new Array<null>(length - given.length).fill(null), ...given];
  }

  private async run(
    request: SampleRequest,
    signal: AbortSignal,
    timeoutMs: number | undefined,
  ): Promise<SampleResponse> {
    const { session } = this;
    const json = sampleRequestToJson(request);
    const bytes = inputLength(request.prompt) * 10;
    let sequenceIds: readonly string[] | undefined;
    const submit = async (): Promise<string> => {
      await this.pause(signal);
      const release = await session.samplingBytes.acquire(bytes, signal);
      try {
        const answer = await session.transport.submitJson("asample", {
          json,
          signal,
          headers: { "x-tinker-sampling-backpressure": "1" },
          fastRetries: 0,
          singleAttempt: session.config.sampleNoRetries,
          retryConflict: session.dialect().retryConflict,
          onRateLimit: () =>
            session.samplingPause.extend(
              session.transport.retry.samplingPauseMs * (bytes > LARGE_PROMPT_BYTES ? 5 : 1),
            ),
          beforeRetry: (retrySignal) => this.pause(retrySignal),
        });
        const ids = optional(asObject(answer, "asample answer").sample_sequence_ids, "sample_sequence_ids", asArray);
        sequenceIds = ids?.map((id) => asString(id, "sample_sequence_ids"));
        return promiseId(answer, "asample");
      } finally {
        release();
      }
    };
    const startedMs = performance.now();
    const requestId = await submit();
    const response = await session.futures.retrieve(requestId, {
      requestType: "Sample",
      decode: (payload) => readSamples(payload, request),
      resubmit: submit,
      accept: ACCEPT_RESULT,
      signal,
      submissionMs: performance.now() - startedMs,
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    });
    const ids = sequenceIds;
    if (ids === undefined) return response;
    const sequences = response.sequences.map((sequence, i) =>
      ids[i] === undefined ? sequence : { ...sequence, sequenceId: ids[i] },
    );
    return { ...response, sequences };
  }

  private async pause(signal?: AbortSignal): Promise<void> {
    for (let left = this.session.samplingPause.leftMs; left > 0; left = this.session.samplingPause.leftMs)
      await sleep(left, signal);
  }
}

function readSamples(payload: ResultPayload, request: SampleRequest): SampleResponse {
  const response =
    payload.kind === "protobuf" ? decodeSampleResponse(payload.bytes) : sampleResponseFromJson(payload.value);
  if (response.sequences.length !== request.numSamples) {
    throw new ProtocolError(
      `the server gave ${response.sequences.length} samples, ${request.numSamples} were asked for`,
    );
  }
  return response;
}

function isModelInput(prompt: ModelInput | NumberArray): prompt is ModelInput {
  return "chunks" in prompt;
}

function checkRequest(request: SampleRequest): void {
  const { maxTokens, temperature = 1, topP = 1, topK = -1, seed } = request.samplingParams;
  const problems = [
    Number.isSafeInteger(maxTokens) && maxTokens > 0 ? "" : `maxTokens is ${maxTokens}, a positive integer is needed`,
    temperature >= 0 ? "" : `temperature is ${temperature}, at least 0 is needed`,
    topP > 0 && topP <= 1 ? "" : `topP is ${topP}, above 0 and at most 1 is needed`,
    Number.isSafeInteger(topK) && (topK === -1 || topK > 0)
      ? ""
      : `topK is ${topK}, -1 or a positive integer is needed`,
    seed === undefined || Number.isSafeInteger(seed) ? "" : `seed is ${seed}, an integer is needed`,
    Number.isSafeInteger(request.numSamples) && request.numSamples > 0
      ? ""
      : `numSamples is ${request.numSamples}, a positive integer is needed`,
    request.prompt.chunks.length > 0 ? "" : "the prompt is empty",
  ].filter((problem) => problem !== "");
  if (problems.length > 0) throw new InvalidArgumentError(`sample: ${problems.join("; ")}`);
}
