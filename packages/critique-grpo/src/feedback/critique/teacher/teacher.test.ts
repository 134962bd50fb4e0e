/** The teacher against a server that answers, and against one that does everything else. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { critiqueSchema } from "../../../config/critique-schema.js";
import type { Question } from "../../../data/question.js";
import { retryAfterMs } from "../../../endpoint/http.js";
import type { Critique, InitialResponse } from "../../../rollout/records.js";
import { readJsonLines } from "../../../run/files.js";
import { type ChatReply, type ChatRequest, ChatServer } from "../../../testing/chat-server.js";
import { copyCodec, copyPolicy } from "../../../testing/copy-task.js";
import type { CritiqueRequest } from "../critic.js";
import type { TeacherConfig } from "./chat-client.js";
import type { CallRecord } from "./ledger.js";
import { createTeacherCritic } from "./teacher.js";

const KEY = "sk-not-to-be-seen-0123456789";
const environment = { TEACHER_KEY: KEY };
const scratch = mkdtempSync(join(tmpdir(), "critique-grpo-teacher-"));
const servers: ChatServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const words: ChatReply = { kind: "text", text: "Step 1 adds wrong.\nConclusion: wrong [END]" };

function request(text: string, correct = false): CritiqueRequest {
  const question: Question = {
    ...{ id: "q", dataSource: "d", text: "40 + 2?", prompt: [{ role: "user", content: "40 + 2?" }] },
    ...{ gold: "42", solution: "40 + 2 = 42", metadata: {} },
  };
  const response: InitialResponse = {
    ...{ kind: "initial", index: 0, samplingPrompt: [1], tokens: [2], logprobs: Float32Array.of(-1), text },
    ...{ stopReason: "stop", policyVersion: 0, reward: { value: correct ? 1 : 0, correct, parts: {} } },
  };
  return { question, response, seed: 1 };
}

interface Setting {
  readonly config?: Partial<TeacherConfig>;
  readonly runDirectory?: string | null;
  readonly signal?: AbortSignal;
}

/** Critiques of these responses by a teacher behind a server with these answers. */
async function ask(
  reply: (request: ChatRequest) => ChatReply | Promise<ChatReply>,
  requests: readonly CritiqueRequest[],
  { config = {}, runDirectory = null, signal }: Setting = {},
): Promise<{ critiques: readonly Critique[]; server: ChatServer }> {
  const server = await new ChatServer(reply).start();
  servers.push(server);
  const parsed = critiqueSchema.parse({
    ...{ type: "teacher", baseUrl: server.baseUrl, model: "teacher", apiKeyVariable: "TEACHER_KEY" },
    ...{ checkAtStart: false, timeoutSeconds: 10, ...config },
  }) as TeacherConfig;
  const critic = createTeacherCritic(parsed, { environment, firstDelayMs: 5 });
  await critic.open!({ policy: copyPolicy(), codec: copyCodec, runDirectory });
  try {
    return { critiques: await critic.critique(requests, signal ? { signal } : {}), server };
  } finally {
    await critic.close!();
  }
}

describe("a teacher", () => {
  it("is asked as the paper's was, and its words are judged", async () => {
    const price = { input: 2, output: 10 };
    const { critiques, server } = await ask(() => words, [request("43"), request("42", true)], { config: { price } });
    const [sent] = server.requests;
    expect(server.requests).toHaveLength(1);
    expect(sent).toMatchObject({ path: "/v1/chat/completions", headers: { authorization: `Bearer ${KEY}` } });
    expect(sent!.body).toEqual({
      ...{ model: "teacher", temperature: 0.7, top_p: 0.75, max_tokens: 4096 },
      messages: [{ role: "user", content: expect.stringContaining("**Student's Answer**: 43") }],
    });
    expect(critiques).toEqual([
      {
        ...{ kind: "teacher", text: "Step 1 adds wrong.\nConclusion: wrong [END]", prompt: sent!.prompt },
        ...{ verdict: "wrong", agreement: true, leak: false, stopReason: "stop", calls: 1 },
        tokens: { prompt: 100, completion: 20 },
        ...{ latencyMs: expect.any(Number), cost: expect.closeTo((100 * 2 + 20 * 10) / 1e6) },
      },
      { kind: "simple_gt", text: "The generated solution is correct, the ground truth is 42." },
    ]);
  });

  it("may need other fields, and no key", async () => {
    const fields = { max_tokens: null, max_completion_tokens: 9, seed: 4 };
    const config = { apiKeyVariable: null, request: fields };
    const { server } = await ask(() => words, [request("43")], { config });
    const { messages: _, ...rest } = server.requests[0]!.body;
    expect(rest).toEqual({ model: "teacher", temperature: 0.7, top_p: 0.75, max_completion_tokens: 9, seed: 4 });
    expect(server.requests[0]!.headers.authorization).toBeUndefined();
  });

  it("may be a deployment on Azure", async () => {
    const { server } = await ask(() => words, [request("43")], { config: { azure: { apiVersion: "2024-10-21" } } });
    const { path, headers } = server.requests[0]!;
    expect(path).toBe("/v1/deployments/teacher/chat/completions?api-version=2024-10-21");
    expect(headers).toMatchObject({ "api-key": KEY });
    expect(headers.authorization).toBeUndefined();
  });

  it("gets no more calls at once than it is allowed", async () => {
    const slowly = async () => {
      await sleep(10);
      return words;
    };
    const requests = Array.from({ length: 12 }, (_, i) => request(`${i}`));
    const { server } = await ask(slowly, requests, { config: { concurrency: 3 } });
    expect(server.requests).toHaveLength(12);
    expect(server.busiest).toBe(3);
  });

  it("answers the same question once: at the same time, later, and in another process", async () => {
    const runDirectory = join(scratch, "cached");
    const first = await ask(() => words, [request("43"), request("43")], { runDirectory });
    expect(first.server.requests).toHaveLength(1);
    expect(first.critiques.map(({ cached }) => cached)).toEqual([undefined, true]);

    const cacheDirectory = join(runDirectory, "critic", "cache");
    const { baseUrl } = first.server;
    const { critiques, server } = await ask(() => words, [request("43"), request("44")], {
      config: { cacheDirectory, baseUrl },
    });
    expect(server.requests).toHaveLength(0);
    expect(first.server.requests.map(({ prompt }) => prompt.includes("44"))).toEqual([false, true]);
    expect(critiques[0]).toMatchObject({ text: first.critiques[0]!.text, cached: true, verdict: "wrong" });
    expect(critiques[0]).not.toHaveProperty("tokens");
    expect(critiques[1]).toMatchObject({ calls: 1 });
  });
});

describe("a teacher that fails", () => {
  const huge = JSON.stringify({ choices: [{ message: { content: "a".repeat(10_000_000) } }] });
  const faults: [string, ChatReply, string][] = [
    ["429", { kind: "status", status: 429, headers: { "retry-after": "0.02" } }, "429"],
    ["500", { kind: "status", status: 500 }, "500"],
    ["500 that shows the key", { kind: "status", status: 500, body: `Bearer ${KEY} was refused` }, "[API key]"],
    ["hang", { kind: "hang" }, "no answer within 0.4 s"],
    ["half-open stream", { kind: "half-open" }, "no answer within 0.4 s"],
    ["cut stream", { kind: "cut" }, "no usable answer"],
    ["HTML", { kind: "raw", body: `<html>${KEY}</html>`, contentType: "text/html" }, "begins"],
    ["HTML that is called JSON", { kind: "raw", body: "<html>", contentType: "application/json" }, "no usable answer"],
    ["nothing", { kind: "raw", body: "", contentType: "application/json" }, "no usable answer"],
    ["other JSON", { kind: "raw", body: '{"choices": []}', contentType: "application/json" }, "no chat completion"],
    ["an empty answer", { kind: "text", text: " " }, "the answer is empty"],
    ["10 MB", { kind: "raw", body: huge, contentType: "application/json" }, "longer than 2097152 bytes"],
  ];

  /** Only what never ends is waited for in vain: on a busy machine anything else may take its time. */
  const patience = (fault: ChatReply) => (["hang", "half-open"].includes(fault.kind) ? 0.4 : 10);

  it.each(faults)("%s: another attempt brings the words", async (_, fault) => {
    const config = { timeoutSeconds: patience(fault) };
    const { critiques, server } = await ask(({ number }) => (number === 0 ? fault : words), [request("43")], {
      config,
    });
    expect(critiques[0]).toMatchObject({ kind: "teacher", calls: 2 });
    expect(server.requests).toHaveLength(2);
  });

  it.each(faults)("%s for ever: the fallback, with the reason", async (_, fault, reason) => {
    const { critiques, server } = await ask(() => fault, [request("43")], {
      config: { attempts: 2, timeoutSeconds: patience(fault) },
    });
    expect(critiques[0]).toMatchObject({
      ...{ kind: "simple_gt", text: "The generated solution is incorrect, the ground truth is 42.", calls: 2 },
      failure: expect.stringMatching(/\(attempt 2 of 2\)$/),
    });
    expect(critiques[0]!.failure).toContain(reason);
    expect(critiques[0]!.failure).not.toContain(KEY);
    expect(server.requests).toHaveLength(2);
  });

  it.each<[string, ChatReply, string]>([
    ["a refusal", { kind: "refusal", text: "I cannot help." }, "the teacher refused: I cannot help."],
    ["a content filter", { kind: "text", text: "", finishReason: "content_filter" }, "withheld by a content filter"],
    ["a bad request", { kind: "status", status: 400 }, "400"],
  ])("%s is not asked again", async (_, fault, reason) => {
    const { critiques, server } = await ask(() => fault, [request("43")]);
    expect(critiques[0]!.failure).toContain(reason);
    expect(server.requests).toHaveLength(1);
  });

  it("makes all calls wait when the server asks one to", async () => {
    const times: number[] = [];
    const reply = ({ number }: ChatRequest): ChatReply => {
      times.push(performance.now());
      return number === 0 ? { kind: "status", status: 429, headers: { "retry-after": "0.2" } } : words;
    };
    const requests = [request("1"), request("2"), request("3")];
    const { critiques } = await ask(reply, requests, { config: { concurrency: 1 } });
    expect(critiques.every(({ kind }) => kind === "teacher")).toBe(true);
    expect(times[1]! - times[0]!).toBeGreaterThan(190);
  });

  it("is not waited for longer than allowed", async () => {
    const later: ChatReply = { kind: "status", status: 503, headers: { "retry-after": "3600" } };
    const { critiques, server } = await ask(() => later, [request("43")]);
    expect(critiques[0]!.failure).toContain("it asks to wait 3600 s, longer than critique.longestWaitSeconds");
    expect(server.requests).toHaveLength(1);
  });

  it("does not get the key again by a redirect", async () => {
    const elsewhere = await new ChatServer(() => words).start();
    servers.push(elsewhere);
    const location = `${elsewhere.baseUrl}/chat/completions`;
    const { critiques } = await ask(() => ({ kind: "status", status: 307, headers: { location } }), [request("43")]);
    expect(critiques[0]!.failure).toContain("no usable answer");
    expect(elsewhere.requests).toHaveLength(0);
  });

  it("leaves no key in a critique that repeats it", async () => {
    const { critiques } = await ask(() => ({ kind: "text", text: `Your key is ${KEY}.` }), [request("43")]);
    expect(critiques[0]!.text).toBe("Your key is [API key].");
  });

  it("stops at once when the run does", async () => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 50);
    const asked = ask(() => ({ kind: "hang" }), [request("1"), request("2")], {
      ...{ signal: controller.signal, config: { timeoutSeconds: 60 } },
    });
    await expect(asked).rejects.toMatchObject({ name: "AbortError" });
  });
});

describe("the budget of a teacher", () => {
  const requests = ["1", "2", "3", "4"].map((text) => request(text));
  const kinds = (critiques: readonly Critique[]) => critiques.map(({ kind }) => kind);

  it("holds in calls, in the order of the responses, over a resumption", async () => {
    const setting = { config: { budget: { calls: 3 }, concurrency: 1 }, runDirectory: join(scratch, "budget") };
    const first = await ask(() => words, requests.slice(0, 2), setting);
    expect(kinds(first.critiques)).toEqual(["teacher", "teacher"]);
    const second = await ask(() => words, requests.slice(2), setting);
    expect(kinds(second.critiques)).toEqual(["teacher", "simple_gt"]);
    expect(second.critiques[1]).toMatchObject({ failure: "the budget of 3 calls is spent", calls: 0 });
  });

  it("holds in tokens, estimated where the server does not count", async () => {
    const config = { budget: { tokens: 240 }, concurrency: 1 };
    expect(kinds((await ask(() => words, requests, { config })).critiques)).toEqual([
      ...["teacher", "teacher", "simple_gt", "simple_gt"],
    ]);
    const uncounted = { ...words, usage: false } as const;
    const { critiques } = await ask(() => uncounted, requests, { config });
    expect(kinds(critiques).filter((kind) => kind === "teacher")).toHaveLength(2);
    expect(critiques[0]).not.toHaveProperty("tokens");
  });

  it("is kept with every call", async () => {
    const runDirectory = join(scratch, "ledger");
    const faulty = ({ number }: ChatRequest): ChatReply => (number === 1 ? { kind: "status", status: 500 } : words);
    const config = { checkAtStart: true, price: { input: 1, output: 1 } };
    await ask(faulty, [request("43")], { config, runDirectory });
    const calls = await readJsonLines<CallRecord>(join(runDirectory, "critic", "calls.jsonl"));
    expect(calls.map(({ purpose, outcome }) => [purpose, outcome])).toEqual([
      ["check", "answer"],
      ["critique", "error"],
      ["critique", "answer"],
    ]);
    expect(calls[1]).toMatchObject({ reason: expect.stringContaining("500"), promptTokens: 0, cost: 0 });
    expect(calls[2]).toMatchObject({ promptTokens: 100, completionTokens: 20, cost: expect.closeTo(120e-6) });
  });
});

describe("the check at the start", () => {
  const checked = { config: { checkAtStart: true } };

  it.each([401, 403, 404, 400])("refuses a server that answers %d", async (status) => {
    await expect(ask(() => ({ kind: "status", status }), [], checked)).rejects.toThrow(
      new RegExp(`does not serve teacher: the server answered ${status}`),
    );
  });

  it("refuses an address where nobody listens", async () => {
    const gone = await new ChatServer(() => words).start();
    const { baseUrl } = gone;
    await gone.close();
    await expect(ask(() => words, [], { config: { checkAtStart: true, baseUrl } })).rejects.toThrow("ECONNREFUSED");
  });

  it("goes on with a server that is busy", async () => {
    const { critiques } = await ask(
      ({ number }) => (number === 0 ? { kind: "status", status: 429 } : words),
      [request("43")],
      checked,
    );
    expect(critiques[0]!.kind).toBe("teacher");
  });

  it("names the variable that holds no key", async () => {
    await expect(ask(() => words, [], { config: { apiKeyVariable: "NO_SUCH_KEY" } })).rejects.toThrow(
      "the environment variable NO_SUCH_KEY holds no API key",
    );
  });
});

describe("Retry-After", () => {
  it.each([
    [{ "retry-after": "2.5" }, 2500],
    [{ "retry-after-ms": "1500", "retry-after": "9" }, 1500],
    [{ "retry-after": "Thu, 01 Jan 1970 00:00:10 GMT" }, 6000],
    [{ "retry-after": "Thu, 01 Jan 1970 00:00:01 GMT" }, 0],
    [{ "retry-after": "soon" }, undefined],
    [{}, undefined],
  ])("%j: %s ms", (headers, expected) => {
    expect(retryAfterMs(new Headers(headers as Record<string, string>), 4000)).toBe(expected);
  });
});
