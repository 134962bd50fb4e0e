import { ProtocolError } from "../errors.js";
import type { SampledSequence, SampleResponse, TokenLogprob } from "../protocol/sampling.js";
import { ProtobufWriter, readFields } from "./protobuf.js";
import { float32Bytes, float32FromBytes, int32Bytes, int32FromBytes } from "./raw-arrays.js";

/** An empty slot of a top-k matrix. */
const NO_LOGPROB = -99999;

/** Bytes of a `tinker_public.SampleResponse`, for servers. Sequence ids travel in the promise, not here. */
export function encodeSampleResponse(response: SampleResponse): Uint8Array {
  const writer = new ProtobufWriter();
  for (const sequence of response.sequences) {
    writer.message(1, (message) => {
      if (sequence.stopReason === "length") message.varint(1, 1);
      if (sequence.tokens.length > 0) message.bytes(2, int32Bytes(sequence.tokens));
      if (sequence.logprobs !== undefined) message.bytes(3, float32Bytes(sequence.logprobs));
    });
  }
  if (response.promptLogprobs !== undefined) {
    writer.bytes(2, float32Bytes(Float32Array.from(response.promptLogprobs, (value) => value ?? Number.NaN)));
  }
  if (response.topkPromptLogprobs !== undefined) writeTopk(writer, response.topkPromptLogprobs);
  if (response.promptCacheHitTokens) writer.varint(4, response.promptCacheHitTokens);
  return writer.finish();
}

function writeTopk(writer: ProtobufWriter, rows: NonNullable<SampleResponse["topkPromptLogprobs"]>): void {
  const k = rows.reduce((most, row) => Math.max(most, row?.length ?? 0), 0);
  const tokens = new Int32Array(rows.length * k);
  const logprobs = new Float32Array(rows.length * k).fill(NO_LOGPROB);
  rows.forEach((row, position) => {
    row?.forEach(([token, logprob], rank) => {
      tokens[position * k + rank] = token;
      logprobs[position * k + rank] = logprob;
    });
  });
  writer.message(3, (message) => {
    message.bytes(1, int32Bytes(tokens)).bytes(2, float32Bytes(logprobs)).varint(3, k).varint(4, rows.length);
  });
}

/** Reads a `tinker_public.SampleResponse`. Throws {@link ProtocolError} on truncated or inconsistent bytes. */
export function decodeSampleResponse(bytes: Uint8Array): SampleResponse {
  const sequences: SampledSequence[] = [];
  let promptLogprobs: (number | null)[] | undefined;
  let topkPromptLogprobs: (TokenLogprob[] | null)[] | undefined;
  let promptCacheHitTokens: number | undefined;
  for (const field of readFields(bytes)) {
    if (field.number === 1) sequences.push(readSequence(field.bytes));
    else if (field.number === 2) {
      promptLogprobs = Array.from(float32FromBytes(field.bytes), (value) => (Number.isNaN(value) ? null : value));
    } else if (field.number === 3) topkPromptLogprobs = readTopk(field.bytes);
    else if (field.number === 4) promptCacheHitTokens = field.integer;
  }
  return {
    sequences,
    ...(promptLogprobs === undefined ? {} : { promptLogprobs }),
    ...(topkPromptLogprobs === undefined ? {} : { topkPromptLogprobs }),
    ...(promptCacheHitTokens === undefined ? {} : { promptCacheHitTokens }),
  };
}

function readSequence(bytes: Uint8Array): SampledSequence {
  let stopReason: "stop" | "length" = "stop";
  let tokens = new Int32Array(0);
  let logprobs: Float32Array | undefined;
  for (const field of readFields(bytes)) {
    if (field.number === 1) stopReason = field.integer === 1 ? "length" : "stop";
    else if (field.number === 2) tokens = new Int32Array(int32FromBytes(field.bytes));
    else if (field.number === 3) logprobs = float32FromBytes(field.bytes);
  }
  if (logprobs !== undefined && logprobs.length !== tokens.length) {
    throw new ProtocolError(`a sampled sequence has ${tokens.length} tokens but ${logprobs.length} logprobs`);
  }
  return { stopReason, tokens, ...(logprobs === undefined ? {} : { logprobs }) };
}

function readTopk(bytes: Uint8Array): (TokenLogprob[] | null)[] {
  let tokens = new Int32Array(0);
  let logprobs = new Float32Array(0);
  let k = 0;
  let length = 0;
  for (const field of readFields(bytes)) {
    if (field.number === 1) tokens = new Int32Array(int32FromBytes(field.bytes));
    else if (field.number === 2) logprobs = new Float32Array(float32FromBytes(field.bytes));
    else if (field.number === 3) k = field.integer;
    else if (field.number === 4) length = field.integer;
  }
  if (tokens.length !== k * length || logprobs.length !== k * length) {
    throw new ProtocolError(
      `top-k logprobs: ${tokens.length} ids and ${logprobs.length} values for ${length} positions of ${k}`,
    );
  }
  return Array.from({ length }, (_, position) => {
    const row: TokenLogprob[] = [];
    for (let rank = 0; rank < k; rank++) {
      const logprob = logprobs[position * k + rank]!;
      if (logprob > NO_LOGPROB / 2) row.push([tokens[position * k + rank]!, logprob]);
    }
    return row.length === 0 ? null : row;
  });
}
