import { ProtocolError } from "../errors.js";
import type {
  SampledSequence,
  SampleRequest,
  SampleResponse,
  SamplingParams,
  SamplingTarget,
  TokenLogprob,
} from "../protocol/sampling.js";
import { asArray, asInteger, asNumber, asNumbers, asObject, asString, type JsonObject, optional } from "./json.js";
import { modelInputFromJson, modelInputToJson } from "./json-training.js";

/** JSON body of `POST asample`; this route knows no protobuf request. */
export function sampleRequestToJson(request: SampleRequest): JsonObject {
  return {
    ...targetToJson(request.target),
    num_samples: request.numSamples,
    prompt: modelInputToJson(request.prompt),
    sampling_params: samplingParamsToJson(request.samplingParams),
    prompt_logprobs: request.promptLogprobs,
    topk_prompt_logprobs: request.topkPromptLogprobs,
    type: "sample",
  };
}

function targetToJson(target: SamplingTarget): JsonObject {
  if ("samplingSessionId" in target) return { sampling_session_id: target.samplingSessionId, seq_id: target.seqId };
  return "baseModel" in target ? { base_model: target.baseModel } : { model_path: target.modelPath };
}

export function samplingParamsToJson(params: SamplingParams): JsonObject {
  return {
    max_tokens: params.maxTokens,
    ...(params.seed === undefined ? {} : { seed: params.seed }),
    ...(params.stop === undefined ? {} : { stop: params.stop }),
    temperature: params.temperature ?? 1,
    top_k: params.topK ?? -1,
    top_p: params.topP ?? 1,
  };
}

/** The inverse of {@link sampleRequestToJson}, for servers. */
export function sampleRequestFromJson(value: unknown): SampleRequest {
  const body = asObject(value, "body");
  return {
    target: targetFromJson(body),
    prompt: modelInputFromJson(body.prompt, "prompt"),
    numSamples: optional(body.num_samples, "num_samples", asInteger) ?? 1,
    samplingParams: samplingParamsFromJson(body.sampling_params),
    promptLogprobs: body.prompt_logprobs === true,
    topkPromptLogprobs: optional(body.topk_prompt_logprobs, "topk_prompt_logprobs", asInteger) ?? 0,
  };
}

function targetFromJson(body: JsonObject): SamplingTarget {
  const samplingSessionId = optional(body.sampling_session_id, "sampling_session_id", asString);
  if (samplingSessionId !== undefined) {
    return { samplingSessionId, seqId: optional(body.seq_id, "seq_id", asInteger) ?? 0 };
  }
  const modelPath = optional(body.model_path, "model_path", asString);
  if (modelPath !== undefined) return { modelPath };
  const baseModel = optional(body.base_model, "base_model", asString);
  if (baseModel !== undefined) return { baseModel };
  throw new ProtocolError("body: one of sampling_session_id, model_path and base_model must be given");
}

export function samplingParamsFromJson(value: unknown): SamplingParams {
  const params = asObject(value, "sampling_params");
  const read = <T>(name: string, reader: (value: unknown, where: string) => T): T | undefined =>
    optional(params[name], `sampling_params.${name}`, reader);
  const maxTokens = read("max_tokens", asInteger);
  if (maxTokens === undefined) throw new ProtocolError("sampling_params.max_tokens must be given");
  const seed = read("seed", asInteger);
  const stop = stopFromJson(params.stop);
  const temperature = read("temperature", asNumber);
  const topK = read("top_k", asInteger);
  const topP = read("top_p", asNumber);
  return {
    maxTokens,
    ...(seed === undefined ? {} : { seed }),
    ...(stop === undefined ? {} : { stop }),
    ...(temperature === undefined ? {} : { temperature }),
    ...(topK === undefined ? {} : { topK }),
    ...(topP === undefined ? {} : { topP }),
  };
}

function stopFromJson(value: unknown): SamplingParams["stop"] {
  if (value === undefined || value === null) return undefined;
  if (typeof value === "string") return [value];
  const list = asArray(value, "sampling_params.stop");
  if (list.every((item) => typeof item === "string")) return list;
  if (list.every((item) => typeof item === "number")) return list;
  throw new ProtocolError("sampling_params.stop: expected strings or token ids, found a mixture");
}

/** JSON result of a sampling request. */
export function sampleResponseToJson(response: SampleResponse): JsonObject {
  return {
    sequences: response.sequences.map((sequence) => ({
      stop_reason: sequence.stopReason,
      tokens: Array.from(sequence.tokens),
      logprobs: sequence.logprobs === undefined ? null : Array.from(sequence.logprobs),
      ...(sequence.sequenceId === undefined ? {} : { sequence_id: sequence.sequenceId }),
    })),
    prompt_logprobs: response.promptLogprobs ?? null,
    topk_prompt_logprobs: response.topkPromptLogprobs ?? null,
    ...(response.promptCacheHitTokens === undefined ? {} : { prompt_cache_hit_tokens: response.promptCacheHitTokens }),
    type: "sample",
  };
}

export function sampleResponseFromJson(value: unknown): SampleResponse {
  const body = asObject(value, "sample result");
  const promptLogprobs = optional(body.prompt_logprobs, "prompt_logprobs", asArray);
  const topk = optional(body.topk_prompt_logprobs, "topk_prompt_logprobs", asArray);
  const cacheHits = optional(body.prompt_cache_hit_tokens, "prompt_cache_hit_tokens", asInteger);
  return {
    sequences: asArray(body.sequences, "sequences").map((sequence, i) => sequenceFromJson(sequence, `sequences[${i}]`)),
    ...(promptLogprobs === undefined
      ? {}
      : { promptLogprobs: promptLogprobs.map((item, i) => optional(item, `prompt_logprobs[${i}]`, asNumber) ?? null) }),
    ...(topk === undefined
      ? {}
      : { topkPromptLogprobs: topk.map((row, i) => topkRow(row, `topk_prompt_logprobs[${i}]`)) }),
    ...(cacheHits === undefined ? {} : { promptCacheHitTokens: cacheHits }),
  };
}

function topkRow(value: unknown, where: string): TokenLogprob[] | null {
  const row = optional(value, where, asArray);
  if (row === undefined) return null;
  return row.map((pair): TokenLogprob => {
    const [token, logprob] = asArray(pair, where);
    return [asInteger(token, where), asNumber(logprob, where)];
  });
}

function sequenceFromJson(value: unknown, where: string): SampledSequence {
  const sequence = asObject(value, where);
  const tokens = Int32Array.from(asNumbers(sequence.tokens, `${where}.tokens`));
  const logprobs = optional(sequence.logprobs, `${where}.logprobs`, asNumbers);
  if (logprobs !== undefined && logprobs.length !== tokens.length) {
    throw new ProtocolError(`${where}: ${tokens.length} tokens but ${logprobs.length} logprobs`);
  }
  const stopReason = asString(sequence.stop_reason, `${where}.stop_reason`);
  if (stopReason !== "stop" && stopReason !== "length") {
    throw new ProtocolError(`${where}.stop_reason: expected "stop" or "length", found "${stopReason}"`);
  }
  const sequenceId = optional(sequence.sequence_id, `${where}.sequence_id`, asString);
  return {
    stopReason,
    tokens,
    ...(logprobs === undefined ? {} : { logprobs: Float32Array.from(logprobs) }),
    ...(sequenceId === undefined ? {} : { sequenceId }),
  };
}
