/** Whole runs of the command with a teacher that does everything wrong that a server can. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { readMetrics, readRollouts } from "../../../run/readers.js";
import type { RecordedInitialResponse } from "../../../run/records.js";
import { type ChatReply, type ChatRequest, ChatServer } from "../../../testing/chat-server.js";
import { CliProject, PROJECT_CONFIG } from "../../../testing/cli-project.js";

const KEY = "sk-not-to-be-found-0123456789";
const STEPS = 3;

const faults: readonly ChatReply[] = [
  { kind: "status", status: 429, headers: { "retry-after": "0.05" } },
  { kind: "status", status: 500, body: `{"error": {"message": "Bearer ${KEY}"}}` },
  { kind: "hang" },
  { kind: "half-open" },
  { kind: "cut" },
  { kind: "raw", body: `<html>your key ${KEY}</html>`, contentType: "text/html" },
  { kind: "raw", body: "", contentType: "application/json" },
  { kind: "text", text: "" },
  {
    kind: "raw",
    body: JSON.stringify({ choices: [{ message: { content: "a".repeat(1e7) } }] }),
    contentType: "application/json",
  },
  { kind: "refusal", text: `I cannot, ${KEY}.` },
];

let project: CliProject;
let server: ChatServer;
beforeAll(() => {
  project = new CliProject();
  process.env.TEACHER_KEY = KEY;
});
afterEach(() => server.close());
afterAll(() => {
  delete process.env.TEACHER_KEY;
  project.remove();
});

/** Trains with this teacher; the exit code and all that was printed. */
async function trainWith(name: string, reply: (request: ChatRequest) => ChatReply, ...argv: string[]) {
  server = await new ChatServer(reply).start();
  const config = {
    ...PROJECT_CONFIG,
    steps: STEPS,
    engine: { ...PROJECT_CONFIG.engine, contextLength: 512, model: { config: "model/long.json", seed: 1 } },
    tokenizer: { path: "model" },
    critique: {
      ...{ type: "teacher", baseUrl: server.baseUrl, model: "teacher", apiKeyVariable: "TEACHER_KEY" },
      ...{
        responses: "all",
        template: "{question}: {response}",
        attempts: 2,
        // Answers that never come are not waited for; those that come have time on a busy machine.
        timeoutSeconds: name === "faulty" ? 0.4 : 30,
        longestWaitSeconds: 0.1,
      },
      price: { input: 1, output: 1 },
    },
    refinement: { count: 1, stopWhenFound: false, template: "{question} {response} {critique}" },
  };
  const model = JSON.parse(readFileSync(project.path("model", "config.json"), "utf8")) as object;
  project.write("model/long.json", JSON.stringify({ ...model, max_position_embeddings: 512 }));
  project.write(`${name}.yaml`, stringify(config));
  const run = await project.run([
    "train",
    project.path(`${name}.yaml`),
    "--run-directory",
    project.path(name),
    ...argv,
  ]);
  return { ...run, directory: project.path(name) };
}

/** All files below a directory. */
function files(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

describe("a run with a teacher", () => {
  it("survives every fault: whole groups, right counts, and the key in no file", async () => {
    // The first request is the check; then three answers in four are faults.
    const reply = ({ number }: ChatRequest): ChatReply =>
      number % 4 === 0
        ? { kind: "text", text: `No. ${KEY}\nConclusion: wrong [END]` }
        : faults[number % faults.length]!;
    const { code, stdout, stderr, directory } = await trainWith("faulty", reply);
    expect(code).toBe(0);

    const metrics = await readMetrics(directory);
    const responses: RecordedInitialResponse[] = [];
    for (let step = 1; step <= STEPS; step++) {
      const groups = await readRollouts(directory, step);
      expect(groups).toHaveLength(PROJECT_CONFIG.questionsPerStep);
      for (const { initial, refinements } of groups) {
        expect(initial).toHaveLength(3);
        expect(refinements).toHaveLength(3);
        expect(refinements.filter(({ kept }) => kept)).toHaveLength(1);
        responses.push(...initial);
      }
    }
    const critiques = responses.map(({ critique }) => critique!);
    const written = critiques.filter(({ kind }) => kind === "teacher");
    const failed = critiques.filter(({ failure }) => failure !== undefined);
    expect(written.length).toBeGreaterThan(0);
    expect(failed.length).toBeGreaterThan(0);
    expect(written.length + failed.length).toBe(critiques.length);
    for (const { text, verdict } of written)
      expect([text, verdict]).toEqual(["No. [API key]\nConclusion: wrong [END]", "wrong"]);
    for (const { kind, text } of failed)
      expect([kind, text]).toEqual(["simple_gt", expect.stringContaining("the ground truth is x.")]);

    const sum = (key: string) => metrics.reduce((total, record) => total + (record[key] as number), 0);
    expect(sum("critique/count")).toBe(critiques.length);
    expect(sum("critique/failures")).toBe(failed.length);
    expect(sum("critique/written")).toBe(written.length);
    expect(
      new Set(server.requests.map(({ number }) => (number % 4 === 0 ? "words" : number % faults.length))).size,
    ).toBe(faults.length + 1);
    const calls = readFileSync(join(directory, "critic", "calls.jsonl"), "utf8")
      .trim()
      .split("\n");
    // The check is no critique's; on a busy machine a call may time out before it arrives.
    expect(calls).toHaveLength(sum("critique/calls") + 1);
    expect(server.requests.length).toBeLessThanOrEqual(calls.length);

    for (const request of server.requests) expect(request.headers.authorization).toBe(`Bearer ${KEY}`);
    const searched = files(directory);
    expect(searched.length).toBeGreaterThan(10);
    for (const file of searched) expect(readFileSync(file, "latin1").includes(KEY), file).toBe(false);
    expect(stdout + stderr).not.toContain(KEY);
    expect(stdout).toContain("critiques failed and were replaced by simple_gt");
  });

  it("that is repeated after a crash pays for nothing twice and goes the same way", async () => {
    const reply = ({ prompt }: ChatRequest): ChatReply => ({ kind: "text", text: `No, not ${prompt.slice(0, 2)}.` });
    const { code, directory } = await trainWith("whole", reply);
    expect(code).toBe(0);
    const cached = { critique: files(join(directory, "critic", "cache")).length };
    expect(server.requests).toHaveLength(1 + cached.critique);
    const { baseUrl } = server;
    await server.close();

    // A second run with the first one's answers: as if it had been killed before its first checkpoint.
    const { directory: again } = await trainWith(
      ...(["again", reply, "--set", `critique.baseUrl=${baseUrl}`] as const),
      ...[
        "--set",
        "critique.checkAtStart=false",
        "--set",
        `critique.cacheDirectory=${join(directory, "critic", "cache")}`,
      ],
    );
    expect(server.requests).toHaveLength(0);
    const weights = (path: string) => readFileSync(join(path, "model", "model.safetensors"));
    expect(weights(again).equals(weights(directory))).toBe(true);
    const [first] = await readMetrics(again);
    expect(first!["critique/calls"]).toBe(0);
    expect(first!["critique/cached"]).toBe(first!["critique/count"]);
  });

  it("goes on with a larger budget, and only then asks again", async () => {
    const reply = (): ChatReply => ({ kind: "text", text: "No." });
    // The check and two critiques of the first step.
    const { code, directory } = await trainWith("poor", reply, "--set", "critique.budget.calls=3", "--set", "steps=1");
    expect(code).toBe(0);
    expect(server.requests).toHaveLength(3);
    const failures = async () => (await readMetrics(directory)).map((record) => record["critique/failures"]);
    expect(await failures()).toEqual([expect.toSatisfy((count: number) => count > 0)]);
    const argv = ["train", "--resume", directory, "--set", "steps=2", "--set", "critique.budget.calls=100"];
    expect(await project.run(argv)).toMatchObject({ code: 0 });
    expect((await failures())[1]).toBe(0);
    const calls = readFileSync(join(directory, "critic", "calls.jsonl"), "utf8")
      .trim()
      .split("\n");
    expect(calls).toHaveLength(server.requests.length);
  });

  it("is refused, with nothing written, where the key is missing", async () => {
    const { code, stderr, directory } = await trainWith(
      "refused",
      () => faults[0]!,
      "--set",
      "critique.apiKeyVariable=NO_KEY",
    );
    expect(code).toBe(2);
    expect(stderr).toContain("the environment variable NO_KEY holds no API key");
    expect(() => readdirSync(directory)).toThrow("ENOENT");
  });
});
