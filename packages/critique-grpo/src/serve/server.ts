/** One HTTP server over the embedded engine: the Tinker routes and the OpenAI-compatible ones. */
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import type { ModelSource } from "@critique-grpo/engine";
import { HttpError } from "../http/errors.js";
import { allowedHosts, requireApiKey, requireKnownHost } from "../http/guard.js";
import { listen } from "../http/listen.js";
import { type RequestUrl, readBody, sendJson } from "../http/messages.js";
import type { TextCodec } from "../policy/policy.js";
import { loadTextCodec } from "../text/codec.js";
import { CheckpointStore } from "./models/checkpoint-store.js";
import { ModelHost } from "./models/model-host.js";
import { answerOpenAi, isOpenAiPath, openAiError } from "./openai/routes.js";
import { ArchiveLinks } from "./tinker/archives.js";
import { PromiseStore } from "./tinker/promises.js";
import { answerTinker, type TinkerRoutes } from "./tinker/routes.js";
import { type FineTuning, TinkerService } from "./tinker/service.js";

export interface ServeOptions {
  /** A Hugging Face model directory, or a fresh model. */
  readonly model: string | ModelSource;
  /** What clients call the model (default: the directory's name). */
  readonly modelName?: string;
  /** Directory with tokenizer.json (default: the model's, where it has one). Text and stop strings need it. */
  readonly tokenizer?: string;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** 0 (default) takes a free one. */
  readonly port?: number;
  /** Default: a new one. The Tinker SDK insists on "tml-" at its beginning. */
  readonly apiKey?: string;
  /** Further names that requests may be addressed to, beside localhost and `host`. */
  readonly allowedHosts?: readonly string[];
  /** Where weights are saved (default: a temporary directory, removed by `close`). */
  readonly checkpoints?: string;
  /**
   * What is trained. "as-asked" (default): adapters of the client's lora_config.rank beside the base weights, which all
   * share, or with rank 0 all weights of a copy. "lora": adapters alone, and weights of 16 bits are kept as they are stored.
   * "full": all weights, whatever rank a client asks for.
   */
  readonly fineTuning?: FineTuning;
  /** Models in training at a time that have weights of their own (default 2), and that have adapters (default 8). */
  readonly maxModels?: number;
  readonly maxAdapters?: number;
  /** Copies in memory of weights that are only sampled (default 1). */
  readonly maxSamplers?: number;
  readonly threads?: number;
  readonly contextLength?: number;
  /** Memory that training may plan with; default: the engine's. */
  readonly memoryBytes?: number;
  readonly microBatchTokens?: number;
  /** Longest body in bytes (default 128 MiB). */
  readonly maxBodyBytes?: number;
  readonly sessionTimeoutMs?: number;
  readonly gapTimeoutMs?: number;
  /** What happens, for a person: models made and unloaded, failures of the server. */
  readonly onNotice?: (message: string) => void;
}

export interface RunningServer {
  /** Without a path: the base URL of a Tinker client. The OpenAI routes are below `${url}/v1`. */
  readonly url: string;
  readonly apiKey: string;
  readonly modelName: string;
  /** Stops accepting, ends what can be interrupted, waits for the rest, frees the models. */
  close(): Promise<void>;
}

/** Loads the model and listens. Throws what is wrong with the model, the tokenizer or the address. */
export async function startServer(options: ServeOptions): Promise<RunningServer> {
  const source: ModelSource = typeof options.model === "string" ? { directory: resolve(options.model) } : options.model;
  const directory = "directory" in source ? source.directory : undefined;
  const modelName = options.modelName ?? (directory === undefined ? "model" : basename(directory));
  const tokenizer =
    options.tokenizer ??
    (directory !== undefined && existsSync(join(directory, "tokenizer.json")) ? directory : undefined);
  const codec = tokenizer === undefined ? null : loadTextCodec(tokenizer);
  const { threads, contextLength, memoryBytes, host: hostName = "127.0.0.1" } = options;
  const host = await ModelHost.open({
    source,
    load: {
      ...(threads === undefined ? {} : { threads }),
      ...(contextLength === undefined ? {} : { contextLength }),
      ...(memoryBytes === undefined ? {} : { memoryBytes }),
      ...(options.fineTuning === "lora" ? { frozen: true } : {}),
      ...(options.fineTuning === "lora" && directory !== undefined ? { frozenWeights: "stored" as const } : {}),
    },
    maxSamplers: options.maxSamplers ?? 1,
  });
  const temporary =
    options.checkpoints === undefined ? await mkdtemp(join(tmpdir(), "critique-grpo-serve-")) : undefined;
  const store = await CheckpointStore.open(resolve(options.checkpoints ?? temporary!), tokenizer);
  const service = new TinkerService(
    {
      modelName,
      tokenizerId: tokenizer === undefined ? null : resolve(tokenizer),
      fineTuning: options.fineTuning ?? "as-asked",
      maxModels: options.maxModels ?? 2,
      maxAdapters: options.maxAdapters ?? 8,
      sessionTimeoutMs: options.sessionTimeoutMs ?? 30_000,
      gapTimeoutMs: options.gapTimeoutMs ?? 120_000,
      microBatchTokens: options.microBatchTokens,
      onNotice: options.onNotice ?? (() => {}),
    },
    host,
    store,
    codec,
  );
  const apiKey = options.apiKey ?? `tml-${randomBytes(24).toString("base64url")}`;
  const server = new ApiServer(
    options,
    apiKey,
    allowedHosts(hostName, options.allowedHosts ?? []),
    service,
    store,
    codec,
  );
  try {
    await server.listen(hostName, options.port ?? 0);
  } catch (error) {
    await service.close();
    if (temporary !== undefined) await rm(temporary, { recursive: true, force: true });
    throw error;
  }
  return {
    url: server.url,
    apiKey,
    modelName,
    close: async () => {
      await server.close();
      if (temporary !== undefined) await rm(temporary, { recursive: true, force: true });
    },
  };
}

/** Requests under way get this long after the server was asked to stop. */
const CLOSE_MS = 5_000;

class ApiServer {
  url = "";
  readonly #server: Server;
  readonly #routes: TinkerRoutes;
  readonly #closing = new AbortController();

  constructor(
    private readonly options: ServeOptions,
    private readonly apiKey: string,
    private readonly hosts: ReadonlySet<string>,
    private readonly service: TinkerService,
    store: CheckpointStore,
    private readonly codec: TextCodec | null,
  ) {
    this.#routes = { service, promises: new PromiseStore(), links: new ArchiveLinks(store, () => this.url) };
    this.#server = createServer((request, response) => void this.#handle(request, response));
    // Clients keep connections longer than Node's five seconds, and would send into a closing one.
    this.#server.keepAliveTimeout = 120_000;
  }

  async listen(host: string, port: number): Promise<void> {
    this.url = await listen(this.#server, host, port);
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    this.#routes.promises.close();
    const stopped = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeIdleConnections();
    const timer = setTimeout(() => this.#server.closeAllConnections(), CLOSE_MS);
    await this.service.close();
    await stopped;
    clearTimeout(timer);
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path = "/", query = ""] = (request.url ?? "/").split("?", 2);
    const url = { pathname: path, searchParams: new URLSearchParams(query) };
    const openAi = isOpenAiPath(path);
    try {
      await this.#answer(request, response, url, openAi);
    } catch (error) {
      if (response.headersSent || response.destroyed) return void response.destroy();
      const known = error instanceof HttpError;
      const message = error instanceof Error ? error.message : String(error);
      if (!known) this.options.onNotice?.(`${request.method} ${url.pathname} failed: ${message}`);
      const status = known ? error.status : 500;
      const body = openAi ? openAiError(status, message) : { detail: message };
      sendJson(response, status, body, known ? error.headers : {});
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse, url: RequestUrl, openAi: boolean): Promise<void> {
    requireKnownHost(request, this.hosts, "; see --allow-host");
    if (this.#closing.signal.aborted) throw new HttpError(503, "The server is shutting down", { connection: "close" });
    if (url.pathname === "/api/v1/healthz") return sendJson(response, 200, { status: "ok" });
    if (url.pathname === "/archives") return this.#routes.links.send(response, url.searchParams);
    requireApiKey(request, this.apiKey);
    const body = await readBody(request, this.options.maxBodyBytes ?? 128 * 2 ** 20);
    if (openAi) {
      const { service, codec } = this;
      return answerOpenAi({ service, codec, closing: this.#closing.signal }, request, response, url.pathname, body);
    }
    if (!url.pathname.startsWith("/api/v1/")) throw new HttpError(404, `${url.pathname} is not served here`);
    return answerTinker(this.#routes, request, response, url, body);
  }
}
