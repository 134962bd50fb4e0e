/** `critique-grpo eval` against an endpoint, killed with SIGKILL: nothing that was answered is lost or asked for again. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { runCli } from "../testing/cli-project.js";

const BIN = resolve(import.meta.dirname, "../../bin/critique-grpo.mjs");
const QUESTIONS = 10;
const SAMPLES = 4;
const CONCURRENCY = 3;

const folder = mkdtempSync(join(tmpdir(), "kill-eval-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe("an evaluation that is killed", () => {
  it("goes on with what is missing, to the same numbers", async () => {
    const rows = Array.from({ length: QUESTIONS }, (_, i) =>
      JSON.stringify({ question: `${i}+1?`, answer: `#### ${i + 1}` }),
    );
    writeFileSync(join(folder, "gsm8k.jsonl"), `${rows.join("\n")}\n`);
    const asked: string[] = [];
    const server = createServer(async (request, response) => {
      let body = "";
      for await (const chunk of request) body += String(chunk);
      const { messages, seed } = JSON.parse(body) as { messages: { content: string }[]; seed: number };
      const question = messages.at(-1)!.content.split("?")[0]!;
      asked.push(`${question} ${seed}`);
      // Slow enough to be killed in the middle; right for even seeds.
      await new Promise((done) => setTimeout(done, 20));
      const answer = seed % 2 === 0 ? Number(question.split("+")[0]) + 1 : 99;
      response.setHeader("content-type", "application/json");
      const choices = [{ message: { content: `\\boxed{${answer}}` }, finish_reason: "stop" }];
      response.end(JSON.stringify({ choices, usage: { prompt_tokens: 1, completion_tokens: 3 } }));
    });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const { port } = server.address() as AddressInfo;
    const argv = (out: string) => [
      ...["eval", `http://127.0.0.1:${port}/v1`, "--model", "m", "--samples", String(SAMPLES), "--json"],
      ...["--benchmark", `gsm8k=${join(folder, "gsm8k.jsonl")}`, "--concurrency", String(CONCURRENCY)],
      ...["--out", join(folder, out)],
    ];
    try {
      const child = spawn(process.execPath, [BIN, ...argv("killed")], { stdio: "ignore" });
      const dead = new Promise((done) => child.on("exit", done));
      const recorded = async () =>
        (await readFile(join(folder, "killed/generations.jsonl"), "utf8").catch(() => "")).split("\n").length - 1;
      while (child.exitCode === null && (await recorded()) < 5) await new Promise((done) => setTimeout(done, 5));
      child.kill("SIGKILL");
      await dead;
      const before = [...asked];
      const lines = await recorded();
      expect(lines).toBeLessThan(QUESTIONS * SAMPLES);
      // Those on their way, and those whose verdict was not there yet, are all that is lost.
      expect(before.length - lines).toBeLessThanOrEqual(16 + 2 * CONCURRENCY);

      const again = await runCli(argv("killed"));
      expect(again.stderr).toContain(`${lines} responses are there already`);
      expect(asked.length - before.length).toBe(QUESTIONS * SAMPLES - lines);
      const keys = (await readFile(join(folder, "killed/generations.jsonl"), "utf8"))
        .trim()
        .split("\n")
        .map((line) => {
          const { id, sample } = JSON.parse(line) as { id: string; sample: number };
          return `${id} ${sample}`;
        });
      expect(keys).toHaveLength(QUESTIONS * SAMPLES);
      expect(new Set(keys).size).toBe(keys.length);
      const whole = await runCli(argv("whole"));
      const numbers = (text: string) => ({ ...(JSON.parse(text) as object), seconds: 0 });
      expect(numbers(again.stdout)).toEqual(numbers(whole.stdout));
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});
