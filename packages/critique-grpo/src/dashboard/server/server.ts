/** The dashboard's HTTP server: the page and the JSON that it reads, on the loopback interface, below a secret token. */
import { randomBytes } from "node:crypto";
import { statSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { InputError } from "../../config/errors.js";
import { HttpError } from "../../http/errors.js";
import { allowedHosts, requireKnownHost } from "../../http/guard.js";
import { listen } from "../../http/listen.js";
import { sendBytes, sendJson } from "../../http/messages.js";
import { Runs } from "../data/runs.js";
import { ChangeFeed } from "./changes.js";
import { requireOwnOrigin, requirePlainRead, requireToken, SECURITY_HEADERS } from "./guard.js";
import { loadPage, type PageFile } from "./page-files.js";
import { answerApi } from "./routes.js";

const HOST = "127.0.0.1";

export interface DashboardOptions {
  /** A run directory, or a directory with runs below it. */
  readonly runs: string;
  /** 0 (default) takes a free one. */
  readonly port?: number;
  /** Default: a new one. */
  readonly token?: string;
  /** Failures of the server, for a person. */
  readonly onNotice?: (message: string) => void;
}

export interface RunningDashboard {
  /** With the token: whoever has it can read the runs. */
  readonly url: string;
  close(): Promise<void>;
}

/** Listens on the loopback interface. @throws InputError if the directory or the port cannot be used. */
export async function startDashboard(options: DashboardOptions): Promise<RunningDashboard> {
  if (!statSync(options.runs, { throwIfNoEntry: false })?.isDirectory()) {
    throw new InputError(`${options.runs} is no directory; name a run directory or one with runs below it`);
  }
  const server = new DashboardServer(options, loadPage());
  return server.start();
}

class DashboardServer {
  readonly #token: string;
  readonly #runs: Runs;
  readonly #changes: ChangeFeed;
  readonly #server: Server;
  readonly #hosts = allowedHosts(HOST, []);

  constructor(
    private readonly options: DashboardOptions,
    private readonly page: ReadonlyMap<string, PageFile>,
  ) {
    this.#token = options.token ?? randomBytes(24).toString("base64url");
    this.#runs = new Runs(options.runs);
    this.#changes = new ChangeFeed(this.#runs);
    this.#server = createServer((request, response) => void this.#handle(request, response));
  }

  async start(): Promise<RunningDashboard> {
    const port = this.options.port ?? 0;
    const address = await listen(this.#server, HOST, port).catch((error: Error) => {
      throw new InputError(`port ${port} cannot be used: ${error.message}`, { cause: error });
    });
    return { url: `${address}/${this.#token}/`, close: () => this.#close() };
  }

  async #close(): Promise<void> {
    this.#changes.close();
    await this.#runs.close();
    const stopped = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await stopped;
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [pathname = "/", query = ""] = (request.url ?? "/").split("?", 2);
    try {
      requireKnownHost(request, this.#hosts);
      requirePlainRead(request, pathname);
      const path = requireToken(pathname, this.#token);
      requireOwnOrigin(request);
      await this.#answer(response, pathname, path, new URLSearchParams(query));
    } catch (error) {
      if (response.headersSent || response.destroyed) return void response.destroy();
      const known = error instanceof HttpError;
      const message = error instanceof Error ? error.message : String(error);
      // The path holds the token.
      if (!known) this.options.onNotice?.(`a request failed: ${message}`);
      const headers = { ...SECURITY_HEADERS, ...(known ? error.headers : {}) };
      sendJson(response, known ? error.status : 500, { detail: message }, headers);
    }
  }

  async #answer(response: ServerResponse, pathname: string, path: string, query: URLSearchParams): Promise<void> {
    if (path === "api/changes") {
      if (!this.#changes.subscribe(response, SECURITY_HEADERS)) throw new HttpError(503, "Too many open pages");
      return;
    }
    if (path.startsWith("api/")) return this.#answerApi(response, path.slice("api/".length), query);
    // Without the slash at its end, relative addresses of the page would lose the token.
    if (path === "" && !pathname.endsWith("/")) {
      response.writeHead(308, { ...SECURITY_HEADERS, location: `${pathname}/` }).end();
      return;
    }
    const file = this.page.get(path === "" ? "index.html" : path);
    if (file === undefined) throw new HttpError(404, "There is no such page");
    sendBytes(response, 200, file.type, file.bytes, SECURITY_HEADERS);
  }

  async #answerApi(response: ServerResponse, path: string, query: URLSearchParams): Promise<void> {
    const answer = await answerApi(this.#runs, path, query);
    switch (answer.type) {
      case "json":
        return sendJson(response, 200, answer.body, SECURITY_HEADERS);
      case "csv": {
        const disposition = `attachment; filename="${answer.name}"`;
        response.writeHead(200, {
          ...SECURITY_HEADERS,
          "content-type": "text/csv; charset=utf-8",
          "content-disposition": disposition,
        });
        for await (const piece of answer.pieces) {
          if (!response.write(piece) && !response.destroyed) await drained(response);
          if (response.destroyed) return;
        }
        response.end();
        return;
      }
      default:
        throw new RangeError(`Unknown answer ${String((answer satisfies never as { type: string }).type)}`);
    }
  }
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    response.once("drain", resolve);
    response.once("close", resolve);
  });
}
