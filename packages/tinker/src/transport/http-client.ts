import * as http from "node:http";
import * as https from "node:https";
import { TinkerConnectionError } from "../errors.js";
import { onAbort } from "./abort.js";

export interface HttpRequest {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** Limit for the whole exchange, body included. */
  readonly timeoutMs: number;
  /** True sends on a connection of its own: no race with a server that closes an idle one. */
  readonly freshConnection?: boolean;
  readonly signal?: AbortSignal;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Uint8Array;
}

/** Sends one request and reads the whole answer; follows no redirect, repeats nothing. */
export interface HttpClient {
  /** Throws {@link TinkerConnectionError} where no complete answer came, and the signal's reason when aborted. */
  send(request: HttpRequest): Promise<HttpResponse>;
  close(): void;
}

/** Failures before a connection existed: the server cannot have seen the request. */
const NEVER_CONNECTED = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "CONNECT_TIMEOUT",
  "CERT_HAS_EXPIRED",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);

export interface NodeHttpClientOptions {
  /** Open connections per server. Long polls hold one each, so this also bounds how many results are waited for at once. */
  readonly maxConnections?: number;
  readonly connectTimeoutMs?: number;
}

/**
 * HTTP/1.1 over Node's own client. Chosen over fetch for what the protocol needs: separate connect time limits, knowledge
 * of whether a connection existed when a request failed, and about half the CPU time a request.
 */
export class NodeHttpClient implements HttpClient {
  private readonly plain: http.Agent;
  private readonly secure: https.Agent;
  private readonly connectTimeoutMs: number;

  constructor(options: NodeHttpClientOptions = {}) {
    const settings = { keepAlive: true, maxSockets: options.maxConnections ?? 1024, scheduling: "lifo" as const };
    this.plain = new http.Agent(settings);
    this.secure = new https.Agent(settings);
    this.connectTimeoutMs = options.connectTimeoutMs ?? 5_000;
  }

  send(request: HttpRequest): Promise<HttpResponse> {
    return new Promise<HttpResponse>((resolve, reject) => {
      const { signal, url } = request;
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const module = url.protocol === "https:" ? https : http;
      let connected = false;
      const outgoing = module.request(url, {
        method: request.method,
        headers: {
          ...request.headers,
          ...(request.body === undefined ? {} : { "content-length": String(request.body.length) }),
        },
        agent: request.freshConnection === true ? false : url.protocol === "https:" ? this.secure : this.plain,
      });
      const settle = (finish: () => void): void => {
        clearTimeout(totalTimer);
        clearTimeout(connectTimer);
        stopListening();
        finish();
      };
      const fail = (message: string, code: string, cause?: unknown): void => {
        settle(() => {
          const mayHaveActed = connected && !NEVER_CONNECTED.has(code);
          reject(
            new TinkerConnectionError(`${request.method} ${url.pathname}: ${message}`, code, mayHaveActed, { cause }),
          );
        });
        outgoing.destroy();
      };
      const totalTimer = setTimeout(
        () => fail(`no complete answer within ${request.timeoutMs} ms`, "TIMEOUT"),
        request.timeoutMs,
      );
      let connectTimer: NodeJS.Timeout | undefined;
      const stopListening =
        signal === undefined
          ? () => undefined
          : onAbort(signal, () => {
              settle(() => reject(signal.reason));
              outgoing.destroy();
            });

      outgoing.on("socket", (socket) => {
        if (!socket.connecting) {
          connected = true;
          return;
        }
        connectTimer = setTimeout(
          () => fail(`no connection to ${url.host} within ${this.connectTimeoutMs} ms`, "CONNECT_TIMEOUT"),
          this.connectTimeoutMs,
        );
        socket.once(url.protocol === "https:" ? "secureConnect" : "connect", () => {
          connected = true;
          clearTimeout(connectTimer);
        });
      });
      outgoing.on("error", (error: NodeJS.ErrnoException) => fail(error.message, error.code ?? "UNKNOWN", error));
      outgoing.on("response", (incoming) => {
        const parts: Buffer[] = [];
        incoming.on("data", (part: Buffer) => parts.push(part));
        incoming.on("error", (error: NodeJS.ErrnoException) =>
          fail(`the answer broke off: ${error.message}`, error.code ?? "TRUNCATED", error),
        );
        incoming.on("end", () => {
          if (!incoming.complete) {
            fail("the answer broke off", "TRUNCATED");
            return;
          }
          settle(() =>
            resolve({
              status: incoming.statusCode ?? 0,
              headers: incoming.headers,
              body: parts.length === 1 ? parts[0]! : Buffer.concat(parts),
            }),
          );
        });
      });
      outgoing.end(request.body);
    });
  }

  close(): void {
    this.plain.destroy();
    this.secure.destroy();
  }
}
