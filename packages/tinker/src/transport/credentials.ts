import { exec } from "node:child_process";
import { InvalidArgumentError, ProtocolError } from "../errors.js";

/** Gives the value of `X-API-Key`. */
export interface CredentialSource {
  /** `signal` ends the wait for a command or an exchange. */
  get(signal?: AbortSignal): Promise<string>;
}

export function staticCredential(key: string): CredentialSource {
  return { get: () => Promise.resolve(key) };
}

/** Runs a command of the user's own (`TINKER_CREDENTIAL_CMD`) in a shell and takes its output, at most once a minute. */
export function commandCredential(command: string): CredentialSource {
  let cached: { readonly value: string; readonly atMs: number } | undefined;
  return {
    get: async (signal) => {
      if (cached !== undefined && Date.now() - cached.atMs < 60_000) return cached.value;
      const value = await new Promise<string>((resolve, reject) => {
        exec(command, { timeout: 30_000, ...(signal === undefined ? {} : { signal }) }, (error, stdout) => {
          // The command's output may hold the secret, so it is kept out of the message.
          if (error !== null)
            reject(new InvalidArgumentError(`the credential command failed with code ${error.code ?? "unknown"}`));
          else resolve(stdout.trim());
        });
      });
      if (value === "") throw new InvalidArgumentError("the credential command printed nothing");
      cached = { value, atMs: Date.now() };
      return value;
    },
  };
}

/** Refreshes this long before expiry in the background … */
const REFRESH_AHEAD_MS = 5 * 60_000;
/** … and waits for the new token from this point on. */
const MUST_REFRESH_MS = 60_000;

/**
 * Exchanges the key for a short-lived token and renews it before it expires.
 * @param exchange posts `auth/token` with the key and returns the token
 */
export function exchangedCredential(exchange: (signal?: AbortSignal) => Promise<string>): CredentialSource {
  let token: { readonly value: string; readonly expiresAtMs: number } | undefined;
  let refreshing: Promise<string> | undefined;
  const refresh = (): Promise<string> => {
    refreshing ??= exchange()
      .then((value) => {
        token = { value, expiresAtMs: tokenExpiryMs(value) };
        return value;
      })
      .finally(() => {
        refreshing = undefined;
      });
    return refreshing;
  };
  return {
    get: async (signal) => {
      signal?.throwIfAborted();
      const leftMs = (token?.expiresAtMs ?? 0) - Date.now();
      if (token === undefined || leftMs <= MUST_REFRESH_MS) return refresh();
      // A failure here shows when the token must be renewed.
      if (leftMs <= REFRESH_AHEAD_MS) refresh().catch(() => undefined);
      return token.value;
    },
  };
}

/** Milliseconds since 1970 at which a JSON web token expires. The signature is the server's business. */
export function tokenExpiryMs(token: string): number {
  try {
    const payload: unknown = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8"));
    const expiry = (payload as { exp?: unknown } | null)?.exp;
    if (typeof expiry === "number") return expiry * 1_000;
  } catch {
    // Reported below: the token itself must not reach a message.
  }
  throw new ProtocolError("auth/token answered with a token whose expiry (exp) cannot be read");
}
