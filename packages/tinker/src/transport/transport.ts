import { randomUUID } from "node:crypto";
import {
  DeadlineExceededError,
  ProtocolError,
  statusError,
  TinkerConnectionError,
  UnconfirmedRequestError,
} from "../errors.js";
import type { CredentialSource } from "./credentials.js";
import type { HttpClient, HttpResponse } from "./http-client.js";
import {
  BARE_400_BUDGET,
  isBareBadRequest,
  type RetryOptions,
  retryAfterMs,
  retryDelayMs,
  shouldRetryStatus,
  sleep,
  surelyRefused,
} from "./retry-policy.js";
import { Semaphore } from "./semaphore.js";

export interface CallOptions {
  readonly method?: "GET" | "POST" | "PUT" | "DELETE";
  readonly json?: unknown;
  /** A body that is not JSON, with its content type. */
  readonly bytes?: { readonly data: Uint8Array; readonly contentType: string; readonly contentEncoding?: string };
  readonly headers?: Readonly<Record<string, string>>;
  readonly accept?: string;
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

export interface SubmitOptions extends CallOptions {
  /**
   * "safe": repeating cannot do harm (the server recognises the repetition, or the call is read-only).
   * "unsafe": after a failure that leaves open whether the server acted, {@link UnconfirmedRequestError} is thrown instead of repeating.
   */
  readonly repetition?: "safe" | "unsafe";
  /** Whether 409 is a passing state (the hosted service) or final (SkyRL). */
  readonly retryConflict?: boolean;
  /** Statuses that the caller wants back instead of an error or a retry. */
  readonly accepted?: readonly number[];
  /** Called at each 429, which then is retried without a delay of its own … */
  readonly onRateLimit?: () => void;
  /** … but after this: the place for a pause that all requests of a kind share. */
  readonly beforeRetry?: (signal?: AbortSignal) => Promise<void>;
  /** Retries at the fast pace before the slow one; the transport's setting where absent. */
  readonly fastRetries?: number;
  readonly singleAttempt?: boolean;
  /** Parses the answer; one that is no JSON counts as a broken transmission. */
  readonly expectJson?: boolean;
}

/** Unreadable answers to one request before giving up. */
const DAMAGED_LIMIT = 4;

export interface SubmitResponse extends HttpResponse {
  /** The parsed answer, where it was asked for and the status is a success. */
  readonly json?: unknown;
  /** True where an attempt before this answer may have been carried out too. */
  readonly mayHaveActedBefore: boolean;
}

export interface TransportOptions {
  /** Without a trailing slash and without `/api/v1`. */
  readonly baseUrl: string;
  readonly http: HttpClient;
  readonly retry: RetryOptions;
  readonly credential: CredentialSource;
  readonly headers: Readonly<Record<string, string>>;
  /** Requests under way at the same time, long polls apart. */
  readonly maxConcurrentRequests: number;
  readonly random: () => number;
}

/** Requests with authentication, retries, time limits and bounded concurrency. Knows no route's meaning. */
export class Transport {
  readonly retry: RetryOptions;
  private readonly slots: Semaphore;

  constructor(private readonly options: TransportOptions) {
    this.retry = options.retry;
    this.slots = new Semaphore(options.maxConcurrentRequests);
  }

  /** The same transport with another credential; connections are shared. */
  withCredential(credential: CredentialSource): Transport {
    return new Transport({ ...this.options, credential });
  }

  /** One exchange, no retry. `path` is below `/api/v1/`, or absolute when it starts with `/`. */
  async once(path: string, call: CallOptions & { readonly freshConnection?: boolean } = {}): Promise<HttpResponse> {
    const key = await this.options.credential.get(call.signal);
    const body = call.bytes?.data ?? (call.json === undefined ? undefined : Buffer.from(JSON.stringify(call.json)));
    return this.options.http.send({
      method: call.method ?? "POST",
      url: this.url(path),
      headers: {
        accept: call.accept ?? "application/json",
        ...this.options.headers,
        ...(body === undefined ? {} : { "content-type": call.bytes?.contentType ?? "application/json" }),
        ...(call.bytes?.contentEncoding === undefined ? {} : { "content-encoding": call.bytes.contentEncoding }),
        ...call.headers,
        ...(key === "" ? {} : { "x-api-key": key }),
      },
      timeoutMs: call.timeoutMs ?? this.retry.requestTimeoutMs,
      freshConnection: call.freshConnection ?? false,
      ...(body === undefined ? {} : { body }),
      ...(call.signal === undefined ? {} : { signal: call.signal }),
    });
  }

  /**
   * Sends until the server takes it on, as the official client does: connection errors, timeouts, 408, 409, 429 and 5xx are
   * retried with back-off, with one idempotency key for all attempts, for at most `submissionTimeoutMs`.
   * Throws an {@link ApiStatusError} for a final status, {@link DeadlineExceededError} when the budget is spent and
   * {@link UnconfirmedRequestError} where a repetition could act twice.
   */
  async submit(path: string, call: SubmitOptions = {}): Promise<SubmitResponse> {
    const route = `${call.method ?? "POST"} ${this.url(path).pathname}`;
    const unsafe = call.repetition === "unsafe";
    const idempotencyKey = `stainless-node-retry-${randomUUID()}`;
    const deadlineMs = performance.now() + this.retry.submissionTimeoutMs;
    let bare400s = 0;
    let damaged = 0;
    let repeated = false;
    for (let attempt = 0; ; attempt++) {
      let waitMs = retryDelayMs(this.retry, attempt, this.options.random(), call.fastRetries);
      const release = await this.slots.acquire(1, call.signal);
      let problem: Error;
      try {
        const response = await this.once(path, {
          ...call,
          timeoutMs: Math.max(
            1,
            Math.min(call.timeoutMs ?? this.retry.requestTimeoutMs, deadlineMs - performance.now()),
          ),
          freshConnection: unsafe || bare400s > 0,
          headers: {
            ...call.headers,
            "x-idempotency-key": idempotencyKey,
            ...(attempt === 0 ? {} : { "x-stainless-retry-count": String(attempt) }),
          },
        });
        const { status } = response;
        if (status >= 200 && status < 300) {
          const json = call.expectJson === true ? { json: parseJson(response, route) } : {};
          return { ...response, mayHaveActedBefore: repeated, ...json };
        }
        if (call.accepted?.includes(status)) return { ...response, mayHaveActedBefore: repeated };
        problem = statusError(status, errorDetail(response), { route, attempts: attempt + 1, mayHaveActed: repeated });
        const bare = isBareBadRequest(response) && ++bare400s <= BARE_400_BUDGET;
        if (call.singleAttempt === true || !(bare || shouldRetryStatus(response, call.retryConflict ?? true)))
          throw problem;
        if (!bare && !surelyRefused(status)) {
          if (unsafe) throw unconfirmed(route, problem.message, problem);
          repeated = true;
        }
        waitMs = retryAfterMs(response, Date.now()) ?? waitMs;
        if (status === 429 && call.onRateLimit !== undefined) {
          call.onRateLimit();
          waitMs = 0;
        }
      } catch (error) {
        if (!(error instanceof TinkerConnectionError || error instanceof ProtocolError)) throw error;
        problem = error;
        // An answer that cannot be read is a broken transmission, unless it stays so: then this is no Tinker server.
        const acted = error instanceof ProtocolError || error.mayHaveActed;
        if (unsafe && acted) throw unconfirmed(route, error.message, error);
        if (call.singleAttempt === true || (error instanceof ProtocolError && ++damaged > DAMAGED_LIMIT)) throw error;
        repeated ||= acted;
      } finally {
        release();
      }
      if (performance.now() + waitMs >= deadlineMs) {
        const seconds = Math.round(this.retry.submissionTimeoutMs / 1_000);
        const text = `${route} was not accepted within ${seconds} s (${attempt + 1} attempts); last problem: ${problem.message}`;
        throw new DeadlineExceededError(text, { cause: problem }, repeated);
      }
      await sleep(waitMs, call.signal);
      await call.beforeRetry?.(call.signal);
    }
  }

  /** {@link submit} for JSON answers. */
  async submitJson(path: string, call: SubmitOptions = {}): Promise<unknown> {
    return (await this.submit(path, { ...call, expectJson: true })).json;
  }

  /** Fetches an address outside the API, such as an archive, without the API key and without retries. */
  download(url: URL, signal?: AbortSignal): Promise<HttpResponse> {
    const headers = { accept: "*/*", "user-agent": this.options.headers["user-agent"] ?? "" };
    return this.options.http.send({
      method: "GET",
      url,
      headers,
      timeoutMs: this.retry.resultTimeoutMs,
      ...(signal === undefined ? {} : { signal }),
    });
  }

  /** Ends all connections. */
  close(): void {
    this.options.http.close();
  }

  url(path: string): URL {
    return new URL(this.options.baseUrl + (path.startsWith("/") ? path : `/api/v1/${path}`));
  }
}

function unconfirmed(route: string, problem: string, cause?: unknown): UnconfirmedRequestError {
  return new UnconfirmedRequestError(
    `${route}: ${problem}. The server may have carried it out and does not recognise repetitions, so it was not sent again. ` +
      "Continue from the last saved checkpoint",
    { cause },
  );
}

/** The human part of an error body: `detail` or `error` of a JSON object, else the start of the text. */
export function errorDetail(response: HttpResponse): string {
  const text = Buffer.from(response.body.buffer, response.body.byteOffset, response.body.byteLength).toString("utf8");
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body === "object" && body !== null) {
      const { detail, error, message } = body as { detail?: unknown; error?: unknown; message?: unknown };
      const found = detail ?? error ?? message;
      if (found !== undefined) return (typeof found === "string" ? found : JSON.stringify(found)).slice(0, 2_000);
    }
  } catch {
    // Not JSON: the text itself has to do.
  }
  return text.slice(0, 500);
}

/** The JSON value of an answer. Throws {@link ProtocolError} where it is none. */
export function parseJson(response: HttpResponse, route: string): unknown {
  try {
    return JSON.parse(
      Buffer.from(response.body.buffer, response.body.byteOffset, response.body.byteLength).toString("utf8"),
    );
  } catch (error) {
    throw new ProtocolError(
      `${route}: the answer is not JSON (${response.body.length} bytes, status ${response.status})`,
      { cause: error },
    );
  }
}
