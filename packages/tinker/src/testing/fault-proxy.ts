import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo, Socket } from "node:net";

/** What goes wrong with one request. */
export type Fault =
  /** The connection is cut; the server never sees the request. */
  | { readonly kind: "drop-before" }
  /** The server acts, then the connection is cut without an answer. */
  | { readonly kind: "drop-after" }
  /** Half of the answer arrives, then the connection is cut. */
  | { readonly kind: "truncate" }
  /** Half of the answer arrives as if it were all. */
  | { readonly kind: "truncate-silently" }
  /** Answered by the proxy. `after` lets the server act first. */
  | {
      readonly kind: "status";
      readonly status: number;
      readonly after?: boolean;
      readonly body?: string;
      readonly headers?: Readonly<Record<string, string>>;
    }
  /** The answer is held back. */
  | { readonly kind: "slow"; readonly delayMs: number }
  /** No answer ever. */
  | { readonly kind: "hang"; readonly after?: boolean }
  /** The server gets the request twice; the second answer is passed on. */
  | { readonly kind: "duplicate" }
  /** Passes the request on, then runs something before the answer goes out, such as a restart. */
  | { readonly kind: "then"; readonly run: () => Promise<void> };

interface Answer {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: Buffer;
}

/** An HTTP proxy that damages chosen requests on their way to a server. */
export class FaultProxy {
  /** Faults that happened, as `route: kind`. */
  readonly log: string[] = [];
  private server: Server | undefined;
  private readonly sockets = new Set<Socket>();
  private port = 0;

  /** @param choose gives the fault for the n-th request (from 0) of a route, or nothing */
  constructor(
    private readonly target: () => string,
    private readonly choose: (route: string, occurrence: number) => Fault | undefined,
  ) {}

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async start(): Promise<this> {
    const counts = new Map<string, number>();
    const server = createServer((request, response) => {
      const route = (request.url ?? "").replace(/^\/api\/v1\//, "").replace(/\?.*/, "");
      const occurrence = counts.get(route) ?? 0;
      counts.set(route, occurrence + 1);
      const fault = this.choose(route, occurrence);
      if (fault !== undefined) this.log.push(`${route}: ${fault.kind}`);
      this.handle(request, response, fault).catch(() => response.destroy());
    });
    server.on("connection", (socket) => {
      this.sockets.add(socket);
      socket.on("close", () => this.sockets.delete(socket));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    this.port = (server.address() as AddressInfo).port;
    this.server = server;
    return this;
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise<void>((resolve) => (this.server === undefined ? resolve() : this.server.close(() => resolve())));
  }

  private async handle(request: IncomingMessage, response: ServerResponse, fault: Fault | undefined): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const body = Buffer.concat(parts);
    const forward = (): Promise<Answer> => this.forward(request, body);
    switch (fault?.kind) {
      case "drop-before":
        response.destroy();
        return;
      case "drop-after":
        await forward();
        response.destroy();
        return;
      case "status":
        if (fault.after === true) await forward();
        response
          .writeHead(fault.status, { "content-type": "application/json", ...fault.headers })
          .end(fault.body ?? `{"detail":"injected ${fault.status}"}`);
        return;
      case "hang":
        if (fault.after === true) await forward();
        return;
      case "slow": {
        const answer = await forward();
        await new Promise((resolve) => setTimeout(resolve, fault.delayMs));
        send(response, answer);
        return;
      }
      case "duplicate":
        await forward();
        send(response, await forward());
        return;
      case "truncate": {
        const answer = await forward();
        response.writeHead(answer.status, answer.headers);
        response.write(answer.body.subarray(0, Math.floor(answer.body.length / 2)), () => response.destroy());
        return;
      }
      case "truncate-silently": {
        const answer = await forward();
        const half = answer.body.subarray(0, Math.floor(answer.body.length / 2));
        send(response, {
          ...answer,
          headers: { ...answer.headers, "content-length": String(half.length) },
          body: half,
        });
        return;
      }
      case "then": {
        const answer = await forward();
        await fault.run();
        send(response, answer);
        return;
      }
      case undefined:
        send(response, await forward());
        return;
      default:
        fault satisfies never;
    }
  }

  private forward(request: IncomingMessage, body: Buffer): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const outgoing = httpRequest(
        new URL(request.url ?? "/", this.target()),
        { method: request.method ?? "GET", headers: request.headers, agent: false },
        (incoming) => {
          const parts: Buffer[] = [];
          incoming.on("data", (part: Buffer) => parts.push(part));
          incoming.on("error", reject);
          incoming.on("end", () =>
            resolve({
              status: incoming.statusCode ?? 502,
              headers: { ...incoming.headers, connection: undefined },
              body: Buffer.concat(parts),
            }),
          );
        },
      );
      outgoing.on("error", reject);
      outgoing.end(body);
    });
  }
}

function send(response: ServerResponse, answer: Answer): void {
  const headers = Object.fromEntries(
    Object.entries(answer.headers).filter((entry): entry is [string, string | string[]] => entry[1] !== undefined),
  );
  response.writeHead(answer.status, headers).end(answer.body);
}
