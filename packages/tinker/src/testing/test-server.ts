import { createHash, randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { gzipSync } from "node:zlib";
import {
  encodeForwardBackwardOutput,
  encodeSampleResponse,
  forwardBackwardOutputToJson,
  sampleResponseToJson,
} from "../codec/index.js";
import { ProtocolError } from "../errors.js";
import type { SampleResponse } from "../protocol/sampling.js";
import type { ForwardBackwardOutput } from "../protocol/training.js";
import type { ClientConfigBody } from "../protocol/wire.js";
import { TestEngine } from "./test-engine.js";
import { type Executed, Refusal, type ServerBehaviour } from "./test-engine-types.js";

export interface TestServerOptions extends Partial<ServerBehaviour> {
  /** Settings given to clients. */
  readonly config?: ClientConfigBody;
  /** Required as `X-API-Key` where set. */
  readonly apiKey?: string;
  /** How long a poll is held. */
  readonly pollMs?: number;
  /** Time from acceptance to result. */
  readonly latencyMs?: number;
  /** Results wait for this too. */
  readonly hold?: () => Promise<void>;
  /** Results above this many bytes are announced by their size first. */
  readonly inlineBytes?: number;
}

interface Promised {
  readonly modelId: string;
  result?: Executed;
  failure?: string;
  lost: boolean;
  readonly waiting: (() => void)[];
}

/**
 * A Tinker server in this process with the semantics of the study: promises, ordering by sequence id, idempotency, JSON and
 * protobuf, checkpoints, sampling, and the arithmetic of each dialect, over a {@link BigramModel} per model.
 */
export class TestServer {
  readonly engine: TestEngine;
  /** Route of every request received, in order. */
  readonly requests: string[] = [];
  /** Requests that are being answered now, and their maximum. */
  active = 0;
  maxActive = 0;
  private server: Server | undefined;
  private readonly sockets = new Set<Socket>();
  private readonly promises = new Map<string, Promised>();
  private readonly known = new Map<string, { readonly hash: string; readonly requestId: string }>();
  private readonly tokens = new Set<string>();
  private nextRequest = 1;
  private port = 0;

  constructor(readonly options: TestServerOptions = {}) {
    this.engine = new TestEngine({ dialect: "hosted", idempotent: true, vocabulary: 8, ...options });
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async start(): Promise<this> {
    const server = createServer((request, response) => {
      this.handle(request, response).catch((error: unknown) => {
        if (!response.headersSent) sendJson(response, 500, { detail: String(error) });
      });
    });
    server.on("connection", (socket) => {
      this.sockets.add(socket);
      socket.on("close", () => this.sockets.delete(socket));
    });
    await new Promise<void>((resolve) => server.listen(this.port, "127.0.0.1", resolve));
    this.port = (server.address() as AddressInfo).port;
    this.server = server;
    return this;
  }

  /** Cuts all connections and stops listening. */
  async stop(): Promise<void> {
    const { server } = this;
    this.server = undefined;
    for (const socket of this.sockets) socket.destroy();
    if (server !== undefined) await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  /** Stops and starts again on the same port. "promises": results are lost but models live; "everything": a fresh process. */
  async restart(lose: "nothing" | "promises" | "everything", downMs = 0): Promise<void> {
    await this.stop();
    if (lose !== "nothing") {
      for (const promise of this.promises.values()) {
        promise.lost = true;
        for (const wake of promise.waiting.splice(0)) wake();
      }
    }
    if (lose === "everything") {
      this.promises.clear();
      this.known.clear();
      this.engine.forgetEverything();
    }
    await new Promise((resolve) => setTimeout(resolve, downMs));
    await this.start();
  }

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const url = new URL(request.url ?? "/", this.url);
    const path = url.pathname.replace(/^\/api\/v1\//, "");
    this.requests.push(`${request.method} ${path}`);
    this.active++;
    this.maxActive = Math.max(this.maxActive, this.active);
    try {
      await this.route(request, response, path, Buffer.concat(parts));
    } catch (error) {
      if (error instanceof Refusal) sendJson(response, error.status, { detail: error.message });
      else if (error instanceof ProtocolError) sendJson(response, 422, { detail: error.message });
      else throw error;
    } finally {
      this.active--;
    }
  }

  private async route(request: IncomingMessage, response: ServerResponse, path: string, body: Buffer): Promise<void> {
    const { dialect } = this.engine.behaviour;
    if (path === "/") return sendJson(response, dialect === "hosted" ? 404 : 200, { name: "Tinker API Mock" });
    if (path === "/openapi.json") {
      const properties = this.engine.behaviour.idempotent ? { seq_id: {} } : {};
      return sendJson(response, 200, { components: { schemas: { OptimStepRequest: { properties } } } });
    }
    if (path.startsWith("/archives/")) return void response.writeHead(200).end(gzipSync(Buffer.from(path)));
    this.authenticate(request, path);
    const protobuf = String(request.headers["content-type"] ?? "").includes("protobuf");
    const json: unknown = protobuf || body.length === 0 ? undefined : JSON.parse(body.toString("utf8"));
    switch (path) {
      case "client/config":
        return sendJson(response, 200, this.options.config ?? { pjwt_auth_enabled: false });
      case "auth/token": {
        const claims = Buffer.from(
          JSON.stringify({ exp: Math.floor(Date.now() / 1000) + 3600, id: randomUUID() }),
        ).toString("base64url");
        const jwt = `eyJh.${claims}.sig`;
        this.tokens.add(jwt);
        return sendJson(response, 200, { jwt });
      }
      case "retrieve_future":
        return this.retrieve(request, response, json as { request_id: string; allow_metadata_only?: boolean });
    }
    const immediate = this.engine.immediate(request.method ?? "GET", path, json);
    if (immediate !== undefined) {
      if (immediate.location !== undefined) return void response.writeHead(302, { location: immediate.location }).end();
      return sendJson(response, immediate.status ?? 200, immediate.body);
    }
    const accepted = this.accept(path, body, () => this.engine.background(path, protobuf ? body : json));
    sendJson(response, 200, accepted);
  }

  /** Takes a request on, or recognises one it has: same (model, sequence id) and body, same promise. */
  private accept(path: string, body: Buffer, start: () => ReturnType<TestEngine["background"]>): object {
    const job = start();
    const hash = createHash("sha256").update(path).update(body).digest("hex");
    if (job.key !== undefined && this.engine.recognises(path)) {
      const earlier = this.known.get(job.key);
      if (earlier !== undefined && !this.promises.get(earlier.requestId)?.lost) {
        if (earlier.hash !== hash) throw new Refusal(409, "Training request sequence number was reused");
        return { request_id: earlier.requestId, model_id: job.modelId };
      }
      if (earlier !== undefined) {
        // The promise was lost, the work was not: the engine kept its result under the key.
        const requestId = this.promise(job.modelId, () => this.engine.resultOf(job.key!) ?? job.run());
        this.known.set(job.key, { hash, requestId });
        return { request_id: requestId, model_id: job.modelId };
      }
    }
    job.admit?.();
    const requestId = this.promise(job.modelId, job.run);
    if (job.key !== undefined) this.known.set(job.key, { hash, requestId });
    return {
      request_id: requestId,
      model_id: job.modelId,
      ...(job.sequenceIds === undefined ? {} : { sample_sequence_ids: job.sequenceIds }),
    };
  }

  private promise(modelId: string, run: () => Promise<Executed> | Executed): string {
    const requestId = String(this.nextRequest++);
    const promised: Promised = { modelId, lost: false, waiting: [] };
    this.promises.set(requestId, promised);
    const settle = (): void => {
      for (const wake of promised.waiting.splice(0)) wake();
    };
    Promise.resolve()
      .then(run)
      .then(async (result) => {
        await this.options.hold?.();
        if (this.options.latencyMs) await new Promise((resolve) => setTimeout(resolve, this.options.latencyMs));
        promised.result = result;
        settle();
      })
      .catch((error: unknown) => {
        promised.failure = error instanceof Error ? error.message : String(error);
        settle();
      });
    return requestId;
  }

  private async retrieve(
    request: IncomingMessage,
    response: ServerResponse,
    body: { request_id: string; allow_metadata_only?: boolean },
  ): Promise<void> {
    const promised = this.promises.get(body.request_id);
    const hosted = this.engine.behaviour.dialect === "hosted";
    if (promised === undefined) throw new Refusal(404, "Future not found");
    if (!promised.lost && promised.result === undefined && promised.failure === undefined) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, this.options.pollMs ?? 1_000);
        promised.waiting.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
    if (promised.lost) throw new Refusal(hosted ? 410 : 404, "promise lost");
    if (promised.failure !== undefined) {
      if (!hosted) throw new Refusal(400, promised.failure);
      return sendJson(response, 200, { error: promised.failure, category: "user" });
    }
    const { result } = promised;
    if (result === undefined) {
      if (!hosted) throw new Refusal(408, "Timeout waiting for result");
      return sendJson(response, 200, { type: "try_again", request_id: body.request_id, queue_state: "active" });
    }
    const wantsProtobuf =
      String(request.headers.accept ?? "").includes("application/x-protobuf") &&
      this.engine.behaviour.dialect === "hosted";
    const { contentType, bytes } = encodeResult(result, wantsProtobuf);
    if (body.allow_metadata_only === true && bytes.length > (this.options.inlineBytes ?? Number.POSITIVE_INFINITY)) {
      return sendJson(response, 200, { status: "complete_metadata", response_payload_size: bytes.length });
    }
    response.writeHead(200, { "content-type": contentType, "content-length": bytes.length }).end(bytes);
  }

  private authenticate(request: IncomingMessage, path: string): void {
    const { apiKey, config } = this.options;
    const key = String(request.headers["x-api-key"] ?? "");
    if (apiKey === undefined) return;
    const exchanged = config?.pjwt_auth_enabled === true && path !== "client/config" && path !== "auth/token";
    if (exchanged ? !this.tokens.has(key) : key !== apiKey) throw new Refusal(401, "Invalid API key");
  }
}

function encodeResult(result: Executed, protobuf: boolean): { contentType: string; bytes: Uint8Array } {
  const asJson = (value: unknown) => ({ contentType: "application/json", bytes: Buffer.from(JSON.stringify(value)) });
  switch (result.kind) {
    case "json":
      return asJson(result.value);
    case "training":
      return protobuf
        ? binary(encodeForwardBackwardOutput(result.output))
        : asJson(forwardBackwardOutputToJson(result.output satisfies ForwardBackwardOutput));
    case "samples":
      return protobuf
        ? binary(encodeSampleResponse(result.response))
        : asJson(sampleResponseToJson(result.response satisfies SampleResponse));
    default:
      return result satisfies never;
  }
}

function binary(bytes: Uint8Array): { contentType: string; bytes: Uint8Array } {
  return { contentType: "application/x-protobuf", bytes };
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  const bytes = Buffer.from(JSON.stringify(body));
  response.writeHead(status, { "content-type": "application/json", "content-length": bytes.length }).end(bytes);
}
