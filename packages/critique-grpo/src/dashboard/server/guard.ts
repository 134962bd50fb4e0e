/** Who may read: whoever has the address with the token, from a page of this very server. */
import type { IncomingMessage } from "node:http";
import { HttpError } from "../../http/errors.js";
import { sameSecret } from "../../http/guard.js";

/**
 * Sent with every answer. The page loads nothing from elsewhere and runs no script but its own; whatever a model writes
 * could not run even if it became markup.
 */
export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy": [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "font-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; "),
  "cache-control": "no-store",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), microphone=(), geolocation=()",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
};

/** The path behind the token, without its first slash. @throws HttpError 401 */
export function requireToken(pathname: string, token: string): string {
  const [, given = "", ...rest] = pathname.split("/");
  if (!sameSecret(given, token)) {
    throw new HttpError(401, "The address needs the token that `critique-grpo dashboard` printed");
  }
  return rest.join("/");
}

/** Another site's page may not use the browser of whoever has the address open. @throws HttpError 403 */
export function requireOwnOrigin(request: IncomingMessage): void {
  const { origin, host } = request.headers;
  if (origin !== undefined && origin !== `http://${host}`)
    throw new HttpError(403, "Requests of other sites are refused");
  const site = request.headers["sec-fetch-site"];
  // A link or a bookmark may open the page itself.
  const isOpening = request.headers["sec-fetch-mode"] === "navigate";
  if (site !== undefined && site !== "same-origin" && site !== "none" && !isOpening) {
    throw new HttpError(403, "Requests of other sites are refused");
  }
}

/** Nothing here needs them. @throws HttpError 400, 405 */
export function requirePlainRead(request: IncomingMessage, pathname: string): void {
  if (request.method !== "GET" && request.method !== "HEAD") {
    throw new HttpError(405, "The dashboard only reads", { allow: "GET, HEAD" });
  }
  const decoded = pathname.replaceAll(/%2e/gi, ".").replaceAll(/%5c/gi, "\\").replaceAll(/%2f/gi, "/");
  if (decoded.includes("\\") || decoded.split("/").includes("..")) {
    throw new HttpError(400, "The path goes up; name a run that the page lists");
  }
}
