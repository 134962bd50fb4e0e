/** `critique-grpo serve` as a command. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { main } from "../cli/program.js";
import { runCli } from "../testing/cli-project.js";
import { writeServedModel } from "../testing/serve-fixture.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "serve-command-"));
  await writeServedModel(join(folder, "tiny"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

it("prints the address and a new key, answers, and stops at the signal", async () => {
  const stop = new AbortController();
  let stdout = "";
  const running = main(
    ["serve", "--model", join(folder, "tiny"), "--port", "0", "--threads", "1", "--checkpoints", join(folder, "saved")],
    {
      stdout: { write: (text) => (stdout += text) },
      stderr: { write: () => {} },
      readStdin: async () => null,
      interruption: () => ({ signal: stop.signal, release: () => {} }),
    },
  );
  await expect.poll(() => stdout, { timeout: 5000 }).toContain("API key");
  const url = /http:\/\/127\.0\.0\.1:\d+/.exec(stdout)![0];
  const apiKey = /tml-\S+/.exec(stdout)![0];
  const headers = { authorization: `Bearer ${apiKey}` };
  expect((await fetch(`${url}/v1/models`, { headers })).status).toBe(200);
  expect((await fetch(`${url}/v1/models`)).status).toBe(401);
  stop.abort();
  expect(await running).toBe(0);
  await expect(fetch(`${url}/v1/models`, { headers })).rejects.toThrow();
});

it("says what is wrong with the model", async () => {
  const { code, stderr } = await runCli(["serve", "--model", join(folder, "missing")]);
  expect(code).toBe(2);
  expect(stderr).toContain(join(folder, "missing"));
});
