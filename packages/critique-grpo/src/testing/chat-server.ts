/** An OpenAI-compatible chat server in this process whose answers a test chooses, the broken ones included. */
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";

export interface ChatRequest {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Readonly<Record<string, unknown>>;
  /** Text of the only message. */
  readonly prompt: string;
  /** From 0. */
  readonly number: number;
}

export type ChatReply =
  | { readonly kind: "text"; readonly text: string; readonly finishReason?: string; readonly usage?: false }
  | { readonly kind: "refusal"; readonly text: string }
  | {
      readonly kind: "status";
      readonly status: number;
      readonly headers?: Record<string, string>;
      readonly body?: string;
    }
  /** Status 200 and this body. */
  | { readonly kind: "raw"; readonly body: string; readonly contentType: string }
  /** No answer ever. */
  | { readonly kind: "hang" }
  /** Head and half of a body, then silence. */
  | { readonly kind: "half-open" }
  /** Head and half of a body, then the connection is cut. */
  | { readonly kind: "cut" };

export class ChatServer {
  readonly requests: ChatRequest[] = [];
  /** Highest number of requests under way at once. */
  busiest = 0;
  readonly #server: Server;
  readonly #reply: (request: ChatRequest) => ChatReply | Promise<ChatReply>;
  #underWay = 0;

  constructor(reply: (request: ChatRequest) => ChatReply | Promise<ChatReply>) {
    this.#reply = reply;
    this.#server = createServer((request, response) => void this.#handle(request, response));
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return this;
  }

  get baseUrl(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1`;
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  async #handle(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const sent = await readAll(incoming);
    if (sent === null) return;
    const body = JSON.parse(sent) as ChatRequest["body"];
    const [message] = body.messages as [{ content: string }];
    const { url = "", headers } = incoming;
    const request = { path: url, headers, body, prompt: message.content, number: this.requests.length };
    this.requests.push(request);
    this.busiest = Math.max(this.busiest, ++this.#underWay);
    try {
      send(await this.#reply(request), response);
    } finally {
      this.#underWay--;
    }
  }
}

/** Null from a client that left: on a busy machine one may give up before its request is through. */
async function readAll(incoming: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
  } catch {
    return null;
  }
  return Buffer.concat(chunks).toString();
}

function send(reply: ChatReply, response: ServerResponse): void {
  switch (reply.kind) {
    case "text":
      json(response, completion({ content: reply.text }, reply.finishReason ?? "stop", reply.usage !== false));
      return;
    case "refusal":
      json(response, completion({ content: null, refusal: reply.text }, "stop", true));
      return;
    case "status":
      response.writeHead(reply.status, { "content-type": "application/json", ...reply.headers });
      response.end(reply.body ?? JSON.stringify({ error: { message: "no", type: "fault" } }));
      return;
    case "raw":
      response.writeHead(200, { "content-type": reply.contentType });
      response.end(reply.body);
      return;
    case "hang":
      return;
    case "half-open":
    case "cut":
      response.writeHead(200, { "content-type": "application/json", "content-length": "1000" });
      response.write('{"choices": [{"message": {"content": "You', () => {
        if (reply.kind === "cut") response.destroy();
      });
      return;
    default:
      throw new RangeError(`Unknown reply ${String(reply satisfies never)}`);
  }
}

function completion(message: object, finishReason: string, usage: boolean): object {
  return {
    ...{ id: "chatcmpl-1", object: "chat.completion", created: 0, model: "teacher" },
    choices: [{ index: 0, finish_reason: finishReason, message: { role: "assistant", ...message } }],
    ...(usage ? { usage: { prompt_tokens: 100, completion_tokens: 20, total_tokens: 120 } } : {}),
  };
}

function json(response: ServerResponse, body: object): void {
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}
