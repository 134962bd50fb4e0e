/** Against our own server with a real model, and against one that breaks in every way. */
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import { startServer } from "../../serve/index.js";
import { writeServedModel } from "../../testing/serve-fixture.js";
import { type EndpointOptions, endpointGenerator } from "./endpoint.js";
import type { GeneratedResponse, GenerationRequest } from "./generator.js";

const chat = [{ role: "user" as const, content: "hi" }];
const question = (id: string, prompt: string | typeof chat) => ({
  ...{ id, dataSource: "d", text: "hi", gold: "x", prompt, metadata: {} },
});
const request = (overrides: Partial<GenerationRequest> = {}): GenerationRequest => ({
  ...{ question: question("q", chat), samples: [0], temperature: 1, topK: 0, topP: 1, maxTokens: 8, seed: 4 },
  ...overrides,
});

async function collect(options: EndpointOptions, requests: readonly GenerationRequest[]) {
  const responses: GeneratedResponse[] = [];
  for await (const response of endpointGenerator(options).generate(requests)) responses.push(response);
  return responses.sort((a, b) => a.requestIndex - b.requestIndex || a.sample - b.sample);
}

describe("an endpoint with a real model", () => {
  it("gives each sample by its number, whichever others are asked for", async () => {
    const folder = await mkdtemp(join(tmpdir(), "endpoint-"));
    await writeServedModel(join(folder, "tiny"));
    const server = await startServer({ model: join(folder, "tiny"), threads: 1 });
    vi.stubEnv("EVALUATION_KEY", server.apiKey);
    try {
      const options = { baseUrl: `${server.url}/v1`, model: "tiny", keyVariable: "EVALUATION_KEY" };
      const plain = request({ question: question("p", "abc"), samples: [0, 1] });
      const all = await collect(options, [request({ samples: [0, 1, 2] }), plain]);
      expect(all.map(({ requestIndex, sample }) => [requestIndex, sample])).toEqual([
        ...[0, 1, 2].map((sample) => [0, sample]),
        ...[0, 1].map((sample) => [1, sample]),
      ]);
      expect(new Set(all.map(({ text }) => text)).size).toBeGreaterThan(2);
      for (const { length } of all) expect(length).toBeLessThanOrEqual(8);
      expect(await collect(options, [request({ samples: [2] })])).toEqual([all[2]]);
      vi.stubEnv("EVALUATION_KEY", "tml-wrong");
      await expect(collect(options, [plain])).rejects.toThrow(/set EVALUATION_KEY$/);
      await expect(collect({ ...options, model: "other" }, [plain])).rejects.not.toThrow("tml-wrong");
    } finally {
      vi.unstubAllEnvs();
      await server.close();
      await rm(folder, { recursive: true });
    }
  });
});

describe("an endpoint that breaks", () => {
  let server: Server | undefined;
  let calls = 0;
  afterEach(() => {
    server?.closeAllConnections();
    server?.close();
    calls = 0;
  });
  afterAll(() => vi.unstubAllEnvs());

  /** Answers call n (from 1) with the nth handler, further ones with the last. */
  async function serve(...handlers: ((response: ServerResponse, request: IncomingMessage) => unknown)[]) {
    server = createServer((incoming, response) => {
      incoming.resume();
      const handler = handlers[Math.min(calls++, handlers.length - 1)]!;
      handler(response, incoming);
    });
    await new Promise<void>((done) => server!.listen(0, "127.0.0.1", done));
    const { port } = server.address() as AddressInfo;
    return { baseUrl: `http://127.0.0.1:${port}/v1`, model: "m", pauseMs: 1, timeoutMs: 2000 };
  }
  const json = (body: unknown) => (response: ServerResponse) => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(body));
  };
  const status =
    (code: number, headers: Record<string, string> = {}) =>
    (response: ServerResponse) => {
      response.writeHead(code, { "content-type": "application/json", ...headers });
      response.end(JSON.stringify({ error: { message: `status ${code}` } }));
    };
  const good = json({
    choices: [{ message: { content: "yes" }, finish_reason: "stop" }],
    usage: { completion_tokens: 2 },
  });
  const html = (response: ServerResponse) => response.writeHead(200, { "content-type": "text/html" }).end("<html>");
  const halfOpen = (response: ServerResponse) => {
    response.writeHead(200, { "content-type": "application/json" });
    response.write('{"choices": [');
  };

  it.each([
    ["500", status(500)],
    ["429 with Retry-After", status(429, { "retry-after": "0" })],
    ["a page of HTML", html],
    ["a broken connection", (response: ServerResponse) => response.destroy()],
    [
      "an empty body",
      (response: ServerResponse) => response.writeHead(200, { "content-type": "application/json" }).end(),
    ],
    [
      "torn JSON",
      (response: ServerResponse) => response.writeHead(200, { "content-type": "application/json" }).end("{"),
    ],
  ])("is asked again after %s", async (_, failure) => {
    const options = await serve(failure, failure, good);
    expect(await collect(options, [request()])).toMatchObject([{ text: "yes", length: 2, stopReason: "stop" }]);
    expect(calls).toBe(3);
  });

  it("is not waited for for ever, neither before nor in the middle of an answer", async () => {
    const options = await serve(() => {}, halfOpen, good);
    expect(await collect({ ...options, timeoutMs: 60 }, [request()])).toMatchObject([{ text: "yes" }]);
    const dead = await serve(() => {});
    await expect(collect({ ...dead, timeoutMs: 30, retries: 1 }, [request()])).rejects.toThrow(
      /no answer within 0.03 s \(2 tries\); the responses drawn so far are kept/,
    );
  });

  it("fails one question where it refuses one prompt, and the evaluation where it refuses all", async () => {
    const options = await serve(status(400), good);
    const both = await collect({ ...options, concurrency: 1 }, [request(), request()]);
    expect(both).toMatchObject([{ failure: expect.stringContaining("status 400"), text: "" }, { text: "yes" }]);
    await expect(collect(await serve(status(404)), [request()])).rejects.toThrow("check address and model");
    expect(calls).toBe(3);
  });

  it("gives NaN for a length that it does not tell, and an empty text for a refusal", async () => {
    const options = await serve(
      json({ choices: [{ message: { content: null, refusal: "no" }, finish_reason: "stop" }] }),
    );
    expect(await collect(options, [request()])).toMatchObject([{ text: "", length: Number.NaN }]);
  });

  it("keeps answers in flight when another call fails for good", async () => {
    let first: ServerResponse | undefined;
    const options = await serve(
      (response) => {
        first = response;
      },
      (response) => {
        status(401)(response);
        setTimeout(() => good(first!), 50);
      },
    );
    const responses: GeneratedResponse[] = [];
    const run = async () => {
      const requests = [request(), request(), request(), request()];
      for await (const response of endpointGenerator({ ...options, concurrency: 2 }).generate(requests)) {
        responses.push(response);
      }
    };
    await expect(run()).rejects.toThrow("status 401");
    expect(responses).toMatchObject([{ text: "yes" }]);
    expect(calls).toBe(2);
  });
});
