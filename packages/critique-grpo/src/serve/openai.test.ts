/** The openai client against the server with a real model. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeServedModel } from "../testing/serve-fixture.js";
import { type RunningServer, startServer } from "./index.js";

let folder: string;
let server: RunningServer;
let openai: OpenAI;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "serve-openai-"));
  await writeServedModel(join(folder, "tiny"));
  server = await startServer({ model: join(folder, "tiny"), threads: 1 });
  openai = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: server.apiKey, maxRetries: 0 });
});
afterAll(async () => {
  await server?.close();
  await rm(folder, { recursive: true, force: true });
});

const messages = [{ role: "user" as const, content: "hi" }];
const chat = { model: "tiny", messages, max_tokens: 12, seed: 4 };

describe("chat", () => {
  it("answers with usage; the same seed gives the same text", async () => {
    const first = await openai.chat.completions.create(chat);
    const second = await openai.chat.completions.create(chat);
    expect(first.choices[0]!.message.role).toBe("assistant");
    expect(second.choices).toEqual(first.choices);
    const { prompt_tokens, completion_tokens, total_tokens } = first.usage!;
    expect(prompt_tokens).toBeGreaterThan(10);
    expect(completion_tokens).toBeLessThanOrEqual(12);
    expect(total_tokens).toBe(prompt_tokens + completion_tokens);
    expect(first.choices[0]!.finish_reason).toBe(completion_tokens === 12 ? "length" : "stop");
  });

  it("streams the same text in pieces, then the reason and the usage", async () => {
    const whole = await openai.chat.completions.create({ ...chat, n: 2 });
    const stream = await openai.chat.completions.create({
      ...chat,
      n: 2,
      stream: true,
      stream_options: { include_usage: true },
    });
    const texts = ["", ""];
    const reasons: (string | null)[] = [null, null];
    let pieces = 0;
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of stream) {
      usage = chunk.usage ?? usage;
      for (const { index, delta, finish_reason } of chunk.choices) {
        texts[index] += delta.content ?? "";
        if (delta.content) pieces++;
        reasons[index] = finish_reason ?? reasons[index]!;
      }
    }
    expect(texts).toEqual(whole.choices.map(({ message }) => message.content));
    expect(reasons).toEqual(whole.choices.map(({ finish_reason }) => finish_reason));
    expect(usage).toEqual(whole.usage);
    expect(pieces).toBeGreaterThan(2);
  });

  it("reports logprobs of the sampled tokens", async () => {
    const { choices, usage } = await openai.chat.completions.create({ ...chat, logprobs: true });
    const content = choices[0]!.logprobs!.content!;
    expect(content).toHaveLength(usage!.completion_tokens);
    for (const { logprob } of content) expect(logprob).toBeLessThan(0);
  });
});

describe("completions", () => {
  const plain = { model: "tiny", prompt: "abc", max_tokens: 24, seed: 1 };

  it("stops before a stop string, streamed and whole", async () => {
    // Some text first, and then its middle as the stop string.
    const free = await openai.completions.create(plain);
    const text = free.choices[0]!.text;
    const stop = text.slice(6, 8);
    const expected = text.slice(0, text.indexOf(stop));
    const cut = await openai.completions.create({ ...plain, stop: [stop] });
    expect(cut.choices[0]).toMatchObject({ text: expected, finish_reason: "stop" });
    expect(cut.usage!.completion_tokens).toBeLessThan(free.usage!.completion_tokens);
    let streamed = "";
    for await (const chunk of await openai.completions.create({ ...plain, stop: [stop], stream: true }))
      streamed += chunk.choices[0]!.text;
    expect(streamed).toBe(expected);
  });

  it("takes several prompts, and token ids", async () => {
    const { choices } = await openai.completions.create({ ...plain, prompt: ["a", "b"], n: 2 });
    expect(choices.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
    const greedy = { ...plain, temperature: 0 };
    const [byText, byIds] = [
      await openai.completions.create({ ...greedy, prompt: "abc" }),
      await openai.completions.create({ ...greedy, prompt: [97, 98, 99] }),
    ];
    expect(byIds.choices).toEqual(byText.choices);
  });
});

it("lists the model", async () => {
  const { data } = await openai.models.list();
  expect(data.map(({ id }) => id)).toEqual(["tiny"]);
});

describe("errors", () => {
  it("are those that OpenAI clients know", async () => {
    const stranger = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "tml-wrong", maxRetries: 0 });
    await expect(stranger.models.list()).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
    await expect(openai.chat.completions.create({ ...chat, model: "other" })).rejects.toThrow(/there are "tiny"/);
    await expect(openai.completions.create({ model: "tiny", prompt: "a", max_tokens: 500 })).rejects.toThrow(
      /context of 128/,
    );
    await expect(openai.chat.completions.create({ ...chat, temperature: 9 })).rejects.toThrow(/temperature/);
  });

  it("a client that leaves ends its generation", async () => {
    const controller = new AbortController();
    const stream = await openai.completions.create(
      { model: "tiny", prompt: "a", max_tokens: 120, stream: true },
      { signal: controller.signal },
    );
    for await (const _ of stream) {
      controller.abort();
      break;
    }
    // The server goes on to serve others.
    await expect(openai.models.list()).resolves.toBeDefined();
  });
});
