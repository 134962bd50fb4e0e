/** Where an error happened, so that its message can say it. */
export interface RequestContext {
  /** Method and path below the base URL, for example `POST /api/v1/optim_step`. Never holds a header or a secret. */
  readonly route: string;
  /** How often the request was sent before giving up. */
  readonly attempts?: number;
  /** True where an earlier attempt may have been carried out although its answer was lost. */
  readonly mayHaveActed?: boolean;
}

/** Base of every error this package throws on purpose; aborts throw the signal's own reason. */
export class TinkerError extends Error {
  override readonly name: string = "TinkerError";
}

/** The server answered with a status that is not retried, or no longer. */
export class ApiStatusError extends TinkerError {
  override readonly name: string = "ApiStatusError";
  constructor(
    readonly status: number,
    readonly detail: string,
    readonly context: RequestContext,
    hint = "",
  ) {
    const attempts =
      context.attempts !== undefined && context.attempts > 1 ? ` after ${context.attempts} attempts` : "";
    super(`${context.route} answered ${status}${attempts}: ${detail || "(empty body)"}${hint ? `. ${hint}` : ""}`);
  }
}

/** 400 or 422: the request is wrong and repeating it would not help. */
export class BadRequestError extends ApiStatusError {
  override readonly name = "BadRequestError";
}
/** 401 or 403: never retried. */
export class AuthenticationError extends ApiStatusError {
  override readonly name = "AuthenticationError";
}
/** 402: the account is blocked for billing reasons longer than the allowed pause. */
export class BillingError extends ApiStatusError {
  override readonly name = "BillingError";
}
/** 404: the session, model, checkpoint or promise is not known to the server. */
export class NotFoundError extends ApiStatusError {
  override readonly name = "NotFoundError";
}
/** 409: a name exists already, or a sequence number was used with another body. */
export class ConflictError extends ApiStatusError {
  override readonly name = "ConflictError";
}
/** 429 that outlived the retry budget. */
export class RateLimitError extends ApiStatusError {
  override readonly name = "RateLimitError";
}
/** 5xx that outlived the retry budget. */
export class ServerError extends ApiStatusError {
  override readonly name = "ServerError";
}

/** No usable answer: refused, reset, timed out or truncated connection. `code` is Node's (`ECONNREFUSED`, …) where known. */
export class TinkerConnectionError extends TinkerError {
  override readonly name = "TinkerConnectionError";
  constructor(
    message: string,
    readonly code: string,
    /** False only where it is certain that the server never saw the request. */
    readonly mayHaveActed: boolean,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** An operation did not finish within its own time limit. */
export class DeadlineExceededError extends TinkerError {
  override readonly name = "DeadlineExceededError";
  constructor(
    message: string,
    options?: ErrorOptions,
    /** False only where it is certain that the server did not act. */
    readonly mayHaveActed = true,
  ) {
    super(message, options);
  }
}

/**
 * A request may or may not have been carried out, and repeating it could carry it out twice. The training client that
 * threw it refuses further work: its view of the model is no longer known to be right.
 */
export class UnconfirmedRequestError extends TinkerError {
  override readonly name = "UnconfirmedRequestError";
}

/** A queued request was not sent because one before it, on which it builds, failed or was aborted. */
export class PrecedingRequestError extends TinkerError {
  override readonly name = "PrecedingRequestError";
}

/** The server accepted a request and then reported that it failed. */
export class RequestFailedError extends TinkerError {
  override readonly name = "RequestFailedError";
  constructor(
    message: string,
    readonly category: "user" | "server" | "unknown",
    readonly requestId: string,
  ) {
    super(message);
  }
}

/** An answer does not have the shape the protocol promises. */
export class ProtocolError extends TinkerError {
  override readonly name = "ProtocolError";
}

/** The caller's arguments are wrong; nothing was sent. */
export class InvalidArgumentError extends TinkerError {
  override readonly name = "InvalidArgumentError";
}

/** The server's dialect cannot do what was asked without changing the result; nothing was sent. */
export class DialectError extends TinkerError {
  override readonly name: string = "DialectError";
}

/** A sampler whose weights the server no longer holds; sampling would silently use, or destroy, other weights. */
export class StaleSamplerError extends DialectError {
  override readonly name = "StaleSamplerError";
}

/** The client was closed. */
export class ClientClosedError extends TinkerError {
  override readonly name = "ClientClosedError";
}

/** The typed error for a final HTTP status. */
export function statusError(status: number, detail: string, context: RequestContext): ApiStatusError {
  switch (status) {
    case 400:
    case 422:
      return new BadRequestError(status, detail, context);
    case 401:
    case 403:
      return new AuthenticationError(status, detail, context, "Check the API key (TINKER_API_KEY)");
    case 402:
      return new BillingError(status, detail, context);
    case 404:
      return new NotFoundError(status, detail, context);
    case 409:
      return new ConflictError(status, detail, context);
    case 425:
      return new ApiStatusError(
        status,
        detail,
        context,
        "The checkpoint is still being written: await the save before using it",
      );
    case 429:
      return new RateLimitError(status, detail, context);
    default:
      return status >= 500 ? new ServerError(status, detail, context) : new ApiStatusError(status, detail, context);
  }
}

/** Whether a failed submission leaves open if the server acted on it. */
export function mayHaveActed(error: unknown): boolean {
  if (error instanceof ApiStatusError) return error.context.mayHaveActed === true;
  if (error instanceof DeadlineExceededError || error instanceof TinkerConnectionError) return error.mayHaveActed;
  return !(
    error instanceof InvalidArgumentError ||
    error instanceof DialectError ||
    error instanceof PrecedingRequestError
  );
}
