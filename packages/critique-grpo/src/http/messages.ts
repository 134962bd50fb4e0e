/** Bodies in, bodies out. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { BadRequest, HttpError } from "./errors.js";

/** What of a request's target matters. */
export interface RequestUrl {
  readonly pathname: string;
  readonly searchParams: URLSearchParams;
}

/** A part of a path without its percent signs. Throws BadRequest. */
export function decodePathPart(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new BadRequest("The path is not a valid URL");
  }
}

/** Reads a body of at most `maxBytes`. Throws HttpError 413 or 415. */
export async function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const encoding = request.headers["content-encoding"] ?? "identity";
  if (encoding !== "identity") throw new HttpError(415, `Content-Encoding ${encoding} is not supported; send it plain`);
  const tooLarge = () =>
    new HttpError(413, `The body is larger than ${maxBytes} bytes; send fewer datums a request`, {
      connection: "close",
    });
  if (Number(request.headers["content-length"] ?? 0) > maxBytes) throw tooLarge();
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request) {
    bytes += (part as Buffer).length;
    if (bytes > maxBytes) throw tooLarge();
    parts.push(part as Buffer);
  }
  return Buffer.concat(parts);
}

/** The JSON object of a body; an empty one counts as {}. Throws BadRequest. */
export function parseJsonObject(body: Buffer): Readonly<Record<string, unknown>> {
  if (body.length === 0) return {};
  let value: unknown;
  try {
    value = JSON.parse(body.toString("utf8"));
  } catch (error) {
    throw new BadRequest(`The body is not valid JSON: ${(error as Error).message}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new BadRequest("The body must be a JSON object");
  return value as Readonly<Record<string, unknown>>;
}

export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  sendBytes(response, status, "application/json", Buffer.from(JSON.stringify(body)), headers);
}

export function sendBytes(
  response: ServerResponse,
  status: number,
  contentType: string,
  bytes: Uint8Array,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { "content-type": contentType, "content-length": bytes.length, ...headers }).end(bytes);
}
