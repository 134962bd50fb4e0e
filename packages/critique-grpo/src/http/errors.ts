/** An answer other than success, thrown anywhere below a route. */
export class HttpError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
  }
}

/** The request itself is wrong: what a caller can mend. A failed future says so with category "user". */
export class BadRequest extends HttpError {
  constructor(message: string) {
    super(400, message);
  }
}
