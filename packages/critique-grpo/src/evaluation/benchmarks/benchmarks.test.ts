/** Against the released files, and against a hub of our own. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { verifiableQuestions } from "../../data/check.js";
import { builtInVerifier } from "../verifier.js";
import { benchmarkNamed, loadBenchmark } from "./load.js";
import { benchmarks } from "./registry.js";

const shared = resolve(import.meta.dirname, "../../../../../../shared/data");
const directory = join(shared, "benchmarks");
const chat = { format: "chat" } as const;

describe.skipIf(!existsSync(directory))("the released evaluation files (../shared/data)", () => {
  const sources = [...benchmarks.values()].map((benchmark) => ({
    benchmark,
    source: benchmark.name === "gsm8k" ? { file: join(shared, "gsm8k/test.jsonl") } : { directory },
  }));

  it.each(sources)("hold each question of $benchmark.title once, with an answer", async ({ benchmark, source }) => {
    const questions = await loadBenchmark(benchmark, source, chat);
    expect(questions).toHaveLength(benchmark.questions);
    expect(new Set(questions.map(({ question }) => question.id)).size).toBe(benchmark.questions);
    const { rewards } = await builtInVerifier(benchmark.verifier);
    const { kept } = verifiableQuestions(questions, rewards, "skip");
    // OlympiadBench and Minerva have a few golds that no program can judge; they are told, not dropped in silence.
    expect(questions.length - kept.length).toBeLessThanOrEqual(benchmark.questions / 100);
  });

  it("put every question in the same way, whatever the file adds to it", async () => {
    const ask = async (name: string) => (await loadBenchmark(benchmarkNamed(name), { directory }, chat))[0]!.question;
    // The first stands in a file with this instruction, the second in one without it and with a long system message.
    for (const name of ["math500", "aime25"]) {
      const { text, prompt } = await ask(name);
      expect(prompt).toEqual([
        { role: "user", content: `${text}\nPlease reason step by step, and put your final answer within \\boxed{}.` },
      ]);
      expect(text).not.toContain("step by step");
    }
  });

  it("give GPQA's options in order, and a letter of them as the answer", async () => {
    for (const { question } of await loadBenchmark(benchmarkNamed("gpqa"), { directory }, chat)) {
      const letters = [...question.text.matchAll(/^([A-D])\)/gm)].map(([, letter]) => letter);
      expect(letters.join("")).toContain("ABCD");
      expect(question.gold).toMatch(/^[ABCD]$/);
    }
  });
});

describe("a benchmark", () => {
  const folder = mkdtempSync(join(tmpdir(), "benchmarks-"));
  const files: Record<string, string> = {
    "README.md": "nothing",
    "main/test-00000-of-00001.parquet": "",
    "data/test.jsonl": '{"question": "1+1?", "final_answer": ["2", "two"]}\n',
  };
  let server: Server;
  let endpoint: string;
  beforeAll(async () => {
    server = createServer((request, response) => {
      const url = new URL(request.url!, "http://localhost");
      if (url.pathname.startsWith("/api/datasets/math-ai/olympiadbench/tree/main")) {
        const entries = Object.entries(files).map(([path, content]) => ({
          ...{ type: "file", path, size: content.length, oid: "0" },
        }));
        response.setHeader("content-type", "application/json");
        return response.end(JSON.stringify(entries));
      }
      const path = url.pathname.split("/resolve/main/")[1];
      const content = path === undefined ? undefined : files[path];
      if (content === undefined) {
        response.statusCode = 404;
        return response.end();
      }
      response.setHeader("etag", '"1"');
      const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
      if (range === null) return response.end(content);
      response.statusCode = 206;
      response.setHeader("content-range", `bytes ${range[1]}-${range[2]}/${content.length}`);
      return response.end(content.slice(Number(range[1]), Number(range[2]) + 1));
    });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });

  it("comes from the hub once, then from the directory", async () => {
    const source = { directory: join(folder, "kept"), hub: { endpoint } };
    const [first] = await loadBenchmark(benchmarkNamed("olympiad"), source, chat);
    expect(first!.question).toMatchObject({ id: "olympiad-0000", text: "1+1?", gold: "2, two" });
    expect(readFileSync(join(folder, "kept/olympiad.jsonl"), "utf8")).toBe(files["data/test.jsonl"]);
    const offline = { ...source, hub: { endpoint: "http://127.0.0.1:9" } };
    expect(await loadBenchmark(benchmarkNamed("olympiad"), offline, chat)).toHaveLength(1);
  });

  it("says how to do without a network", async () => {
    const source = { directory: folder, hub: { endpoint: "http://127.0.0.1:9" } };
    await expect(loadBenchmark(benchmarkNamed("aime24"), source, chat)).rejects.toThrow(
      /aime24 could not be fetched from the hub's dataset HuggingFaceH4\/aime_2024 .*--benchmark-directory/,
    );
    await expect(loadBenchmark(benchmarkNamed("gpqa"), source, chat)).rejects.toThrow("agree to its terms");
    expect(() => benchmarkNamed("math50")).toThrow('did you mean "math500"?');
  });

  it("is asked as the run asks its own questions", async () => {
    writeFileSync(join(folder, "gsm8k.jsonl"), '{"question": "1+1?", "answer": "It is <<1+1=2>>2\\n#### 2"}\n');
    const style = { format: "plain", template: "Q: {question}\nA:" } as const;
    const [only] = await loadBenchmark(benchmarkNamed("gsm8k"), { directory: folder }, style);
    expect(only!.question).toMatchObject({ prompt: "Q: 1+1?\nA:", gold: "2", dataSource: "gsm8k" });
  });
});
