/** Who may talk to the server: holders of the key, by a name that is the server's own. */
import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { HttpError } from "./errors.js";

/** Compares without telling by its time how much was right. */
export function sameSecret(given: string, expected: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}

/** The key travels as `X-API-Key` (Tinker) or as `Authorization: Bearer` (OpenAI). Throws HttpError 401. */
export function requireApiKey(request: IncomingMessage, apiKey: string): void {
  const header = request.headers["x-api-key"];
  const bearer = /^Bearer\s+(.+)$/i.exec(request.headers.authorization ?? "")?.[1];
  const given = (Array.isArray(header) ? header[0] : header) ?? bearer ?? "";
  if (!sameSecret(given, apiKey)) throw new HttpError(401, "Invalid API key", { "www-authenticate": "Bearer" });
}

/**
 * Refuses requests that were addressed to another name: a web page that points its own name at this machine (DNS
 * rebinding) would otherwise talk to the server with the browser of whoever runs it. Throws HttpError 421.
 */
export function requireKnownHost(request: IncomingMessage, hosts: ReadonlySet<string>, advice = ""): void {
  const name = hostName(request.headers.host ?? "");
  if (!hosts.has(name)) throw new HttpError(421, `This server does not answer to that Host${advice}`);
}

/** Host names, lower case, without the port; IPv6 without brackets. */
export function allowedHosts(host: string, more: readonly string[]): Set<string> {
  return new Set(["localhost", "127.0.0.1", "::1", host, ...more].map((name) => hostName(name)));
}

function hostName(header: string): string {
  const text = header.trim().toLowerCase();
  const bracketed = /^\[([^\]]+)\](?::\d+)?$/.exec(text);
  if (bracketed !== null) return bracketed[1]!;
  return text.split(":").length > 2 ? text : text.replace(/:\d+$/, "");
}
