import { asNumber, asObject, asString, optional } from "../codec/json.js";
import {
  BillingError,
  DeadlineExceededError,
  NotFoundError,
  ProtocolError,
  RequestFailedError,
  statusError,
  TinkerConnectionError,
  UnconfirmedRequestError,
} from "../errors.js";
import type { HttpResponse } from "../transport/http-client.js";
import { isBareBadRequest, sleep } from "../transport/retry-policy.js";
import { Semaphore } from "../transport/semaphore.js";
import { errorDetail, parseJson, type Transport } from "../transport/transport.js";

/** Names the service wants to see in `X-Tinker-Request-Type`. */
export type RequestType =
  | "Forward"
  | "ForwardBackward"
  | "OptimStep"
  | "Sample"
  | "SaveWeights"
  | "SaveWeightsForSampler"
  | "LoadWeights"
  | "CreateModel"
  | "UnloadModel";

/** The server's word on why a result takes long. */
export interface QueueState {
  readonly requestId: string;
  readonly requestType: RequestType;
  readonly state: string;
  readonly reason?: string;
}

export interface RetrieveOptions<T> {
  readonly requestType: RequestType;
  /** Reads the result. A {@link ProtocolError} counts as a damaged transmission: the result is asked for again. */
  readonly decode: (payload: ResultPayload) => T;
  /** Posts the original request again and gives its new promise, for the case that the server lost this one (410). */
  readonly resubmit?: (signal?: AbortSignal) => Promise<string>;
  /** `Accept` of the result. */
  readonly accept?: string;
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
  /** Milliseconds that the submission took, told to the service on the first poll. */
  readonly submissionMs?: number;
}

export type ResultPayload =
  | { readonly kind: "protobuf"; readonly bytes: Uint8Array }
  | { readonly kind: "json"; readonly value: unknown };

export interface FuturePollerOptions {
  /** Bytes of large results under way at the same time. */
  readonly responseBytes: number;
  readonly billingPauseLimitMs: number;
  readonly onQueueState?: (state: QueueState) => void;
}

/** Damaged answers to one request before giving up. */
const DAMAGED_LIMIT = 5;
const BAD_REQUEST_LIMIT = 3;
/** About five minutes at the longest pause. */
const SERVER_ERROR_LIMIT = 40;
const RESUBMIT_LIMIT = 5;

/** Waits for results by long polls (`retrieve_future`), with the retries of the official client. */
export class FuturePoller {
  private readonly responseBytes: Semaphore;

  constructor(
    private readonly transport: Transport,
    private readonly options: FuturePollerOptions,
  ) {
    this.responseBytes = new Semaphore(options.responseBytes);
  }

  /**
   * Polls until the result is there.
   * Throws {@link RequestFailedError} where the server reports a failure, {@link DeadlineExceededError} after `timeoutMs`
   * (or after `unreachableTimeoutMs` without any answer), and the signal's reason when aborted: the server goes on then.
   */
  async retrieve<T>(promiseId: string, options: RetrieveOptions<T>): Promise<T> {
    const { retry } = this.transport;
    const startedMs = performance.now();
    const timeoutMs = options.timeoutMs ?? retry.resultTimeoutMs;
    const what = `the result of ${options.requestType}`;
    let requestId = promiseId;
    let metadataOnly = true;
    let release: (() => void) | undefined;
    let lastAnswerMs = startedMs;
    let failures = 0;
    let badRequests = 0;
    let serverErrors = 0;
    let damaged = 0;
    let resubmissions = 0;
    let billingSinceMs: number | undefined;
    try {
      for (let iteration = 0; ; iteration++) {
        const leftMs = timeoutMs - (performance.now() - startedMs);
        if (leftMs <= 0)
          throw new DeadlineExceededError(`${what} (request ${requestId}) did not come within ${timeoutMs} ms`);
        let pauseMs = 0;
        try {
          const response = await this.transport.once("retrieve_future", {
            json: { request_id: requestId, allow_metadata_only: metadataOnly },
            accept: options.accept ?? "application/json",
            timeoutMs: Math.min(retry.pollTimeoutMs, leftMs),
            headers: {
              "x-tinker-request-iteration": String(iteration),
              "x-tinker-request-type": options.requestType,
              ...(iteration === 0 && options.submissionMs !== undefined
                ? { "x-tinker-create-promise-roundtrip-time": (options.submissionMs / 1_000).toFixed(3) }
                : {}),
            },
            ...(options.signal === undefined ? {} : { signal: options.signal }),
          });
          lastAnswerMs = performance.now();
          failures = response.status === 429 ? failures : 0;
          if (response.status === 200) {
            const outcome = this.readOutcome(response, requestId, options);
            if ("result" in outcome) return outcome.result;
            if (outcome.payloadBytes !== undefined) {
              metadataOnly = false;
              release ??= await this.responseBytes.acquire(outcome.payloadBytes, options.signal);
            }
            continue;
          }
          const { status } = response;
          const context = { route: `POST /api/v1/retrieve_future (${options.requestType}, request ${requestId})` };
          if (status === 408 || status >= 500) {
            if (status === 408) this.reportQueueState(response, requestId, options.requestType);
            // SkyRL answers 500 at once for a result it cannot read: a short growing pause keeps that from being a busy loop.
            if (status >= 500) pauseMs = Math.min(50 * 2 ** Math.min(serverErrors++, 8), retry.maxDelayMs);
            if (serverErrors > SERVER_ERROR_LIMIT) throw statusError(status, errorDetail(response), context);
          } else if (status === 429) {
            pauseMs = this.backOffMs(failures++);
          } else if (status === 402) {
            billingSinceMs ??= performance.now();
            if (performance.now() - billingSinceMs > this.options.billingPauseLimitMs) {
              throw new BillingError(status, errorDetail(response), context);
            }
            pauseMs = retry.billingPauseMs;
          } else if (status === 410) {
            if (options.resubmit === undefined || ++resubmissions > RESUBMIT_LIMIT)
              throw lostPromise(options.requestType, requestId);
            requestId = await options.resubmit(options.signal);
            metadataOnly = true;
          } else if (status === 400 && !hasJsonDetail(response) && badRequests < BAD_REQUEST_LIMIT) {
            if (!isBareBadRequest(response)) pauseMs = this.backOffMs(badRequests);
            badRequests++;
          } else if (status === 400) {
            // SkyRL's way of saying that the request itself failed.
            throw new RequestFailedError(
              `${options.requestType} failed: ${errorDetail(response)}`,
              "unknown",
              requestId,
            );
          } else if (status === 404) {
            throw new NotFoundError(
              status,
              errorDetail(response),
              context,
              "The server no longer knows this request; was it restarted?",
            );
          } else {
            throw statusError(status, errorDetail(response), context);
          }
        } catch (error) {
          if (error instanceof ProtocolError) {
            if (++damaged >= DAMAGED_LIMIT) throw error;
            pauseMs = this.backOffMs(damaged - 1);
          } else if (error instanceof TinkerConnectionError) {
            const silentMs = performance.now() - lastAnswerMs;
            // A long poll without an answer is the protocol's ordinary way of saying "not yet".
            const ordinary = error.code === "TIMEOUT";
            if (!ordinary && silentMs > retry.unreachableTimeoutMs) {
              throw new DeadlineExceededError(
                `${what} (request ${requestId}): no answer from the server for ${Math.round(silentMs / 1_000)} s; last problem: ${error.message}`,
                { cause: error },
              );
            }
            if (!ordinary) pauseMs = this.backOffMs(failures++);
          } else {
            throw error;
          }
        }
        if (pauseMs > 0) {
          const left = timeoutMs - (performance.now() - startedMs);
          await sleep(Math.max(1, Math.min(pauseMs, left)), options.signal);
        }
      }
    } finally {
      release?.();
    }
  }

  private backOffMs(attempt: number): number {
    return Math.min(this.transport.retry.slowInitialDelayMs * 2 ** attempt, this.transport.retry.slowMaxDelayMs);
  }

  private readOutcome<T>(
    response: HttpResponse,
    requestId: string,
    options: RetrieveOptions<T>,
  ): { result: T } | { payloadBytes?: number } {
    const contentType = String(response.headers["content-type"] ?? "");
    if (contentType.includes("protobuf")) {
      return { result: options.decode({ kind: "protobuf", bytes: response.body }) };
    }
    const value = parseJson(response, "retrieve_future");
    const body = typeof value === "object" && value !== null ? asObject(value, "result") : {};
    if (body.type === "try_again") {
      this.reportQueueState(response, requestId, options.requestType);
      return {};
    }
    if (body.status === "complete_metadata") {
      return { payloadBytes: asNumber(body.response_payload_size, "response_payload_size") };
    }
    if (typeof body.error === "string" && body.category !== undefined) {
      const category = asString(body.category, "category").toLowerCase();
      throw new RequestFailedError(
        `${options.requestType} failed: ${body.error}`,
        category === "user" || category === "server" ? category : "unknown",
        requestId,
      );
    }
    return { result: options.decode({ kind: "json", value }) };
  }

  private reportQueueState(response: HttpResponse, requestId: string, requestType: RequestType): void {
    if (this.options.onQueueState === undefined) return;
    try {
      const body = asObject(parseJson(response, "retrieve_future"), "body");
      const state = optional(body.queue_state, "queue_state", asString);
      const reason = optional(body.queue_state_reason, "queue_state_reason", asString);
      if (state !== undefined)
        this.options.onQueueState({ requestId, requestType, state, ...(reason === undefined ? {} : { reason }) });
    } catch {
      // A remark of the server on its queue; not worth failing a request for.
    }
  }
}

function lostPromise(requestType: RequestType, requestId: string): UnconfirmedRequestError {
  return new UnconfirmedRequestError(
    `the server lost the promise of ${requestType} (request ${requestId}), and it cannot be sent again without the risk of acting twice`,
  );
}

function hasJsonDetail(response: HttpResponse): boolean {
  try {
    const value: unknown = JSON.parse(Buffer.from(response.body).toString("utf8"));
    return typeof value === "object" && value !== null && ("detail" in value || "error" in value);
  } catch {
    return false;
  }
}
