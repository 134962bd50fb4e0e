import { asObject, asString } from "../codec/json.js";
import { forwardBackwardOutputFromJson, forwardBackwardRequestToJson } from "../codec/json-training.js";
import { decodeForwardBackwardOutput, encodeForwardBackwardRequest } from "../codec/proto-training.js";
import { zstdAvailable, zstdCompress } from "../codec/zstd.js";
import { ProtocolError } from "../errors.js";
import type { RequestType, ResultPayload } from "../futures/future-poller.js";
import type { ForwardBackwardOutput, ForwardBackwardRequest } from "../protocol/training.js";
import type { SubmitOptions } from "../transport/transport.js";
import type { Session } from "./session.js";

export const PROTOBUF = "application/x-protobuf";
/** Results may come in either form. */
export const ACCEPT_RESULT = `${PROTOBUF}, application/json`;

/** A promise as submitted: its id, and how to submit the very same request again. */
export interface Submitted {
  readonly requestId: string;
  readonly resubmit?: (signal?: AbortSignal) => Promise<string>;
  readonly submissionMs: number;
}

/** Posts a request that answers with a promise. `safe` says whether repeating it can do harm. */
export async function submitPromise(
  session: Session,
  path: string,
  call: SubmitOptions,
  safe: boolean,
): Promise<Submitted> {
  const send = async (): Promise<string> => {
    const answer = await session.transport.submitJson(path, {
      ...call,
      repetition: safe ? "safe" : "unsafe",
      retryConflict: session.dialect().retryConflict,
      signal: session.signal,
    });
    return promiseId(answer, path);
  };
  const startedMs = performance.now();
  const requestId = await send();
  return { requestId, submissionMs: performance.now() - startedMs, ...(safe ? { resubmit: send } : {}) };
}

/** The request id of a promise. Throws {@link ProtocolError} where there is none. */
export function promiseId(answer: unknown, path: string): string {
  const id = asObject(answer, `${path} answer`).request_id;
  return typeof id === "number" ? String(id) : asString(id, `${path} answer: request_id`);
}

/** Where and how a forward or forward_backward request is posted. */
export function forwardBackwardCall(
  session: Session,
  request: ForwardBackwardRequest,
): { path: string; call: SubmitOptions } {
  if (session.codec === "json") {
    return {
      path: request.forwardOnly ? "forward" : "forward_backward",
      call: { json: forwardBackwardRequestToJson(request) },
    };
  }
  const data = encodeForwardBackwardRequest(request);
  const compressed = session.config.compress && zstdAvailable() ? zstdCompress(data) : undefined;
  return {
    path: "forward_backward",
    call: {
      bytes: {
        data: compressed ?? data,
        contentType: PROTOBUF,
        ...(compressed === undefined ? {} : { contentEncoding: "zstd" }),
      },
    },
  };
}

/** Reads a result and checks that it is whole: one output per datum. */
export function readForwardBackwardOutput(payload: ResultPayload, datums: number): ForwardBackwardOutput {
  const output =
    payload.kind === "protobuf"
      ? decodeForwardBackwardOutput(payload.bytes)
      : forwardBackwardOutputFromJson(payload.value);
  if (output.lossFnOutputs.length !== datums) {
    throw new ProtocolError(`the result has ${output.lossFnOutputs.length} outputs for ${datums} datums`);
  }
  return output;
}

/** Waits for the result of a training request. */
export function retrieveResult<T>(
  session: Session,
  requestType: RequestType,
  submitted: Submitted,
  decode: (payload: ResultPayload) => T,
  wait: { readonly signal: AbortSignal; readonly timeoutMs?: number },
): Promise<T> {
  return session.futures.retrieve(submitted.requestId, {
    requestType,
    decode,
    submissionMs: submitted.submissionMs,
    ...(requestType === "Forward" || requestType === "ForwardBackward" || requestType === "Sample"
      ? { accept: ACCEPT_RESULT }
      : {}),
    ...(submitted.resubmit === undefined ? {} : { resubmit: submitted.resubmit }),
    ...wait,
  });
}

/** A JSON result; protobuf there would be a broken server. */
export function jsonResult(payload: ResultPayload): unknown {
  if (payload.kind !== "json") throw new ProtocolError("a JSON result was expected, protobuf came");
  return payload.value;
}
