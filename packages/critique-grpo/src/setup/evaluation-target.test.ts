/** A checkpoint on a Tinker server (ours, with a real model), evaluated by its path. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ServiceClient } from "@critique-grpo/tinker";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { loadRunConfig } from "../config/run.js";
import { type RunningServer, startServer } from "../serve/index.js";
import { runCli } from "../testing/cli-project.js";
import { writeServedModel } from "../testing/serve-fixture.js";
import { loadTarget } from "./evaluation-target.js";

let folder: string;
let server: RunningServer;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "evaluation-target-"));
  await writeServedModel(join(folder, "tiny"));
  server = await startServer({ model: join(folder, "tiny"), checkpoints: join(folder, "saved"), threads: 1 });
  vi.stubEnv("TINKER_API_KEY", server.apiKey);
  await writeFile(
    join(folder, "gsm8k.jsonl"),
    '{"question":"1+1?","answer":"#### 2"}\n{"question":"2+3?","answer":"#### 5"}\n',
  );
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await server?.close();
  await rm(folder, { recursive: true, force: true });
});

describe("a checkpoint on a Tinker server", () => {
  it("is evaluated by its path; the same weights in a directory give the same responses", async () => {
    const client = await ServiceClient.connect({ baseUrl: server.url, apiKey: server.apiKey, env: {} });
    const training = await client.createTrainingClient({ baseModel: "tiny", loraRank: 0 });
    const { path } = await training.saveWeightsForSampler("exam");
    await client.close();
    const out = (name: string) => join(folder, name);
    const shared = ["--benchmark", `gsm8k=${join(folder, "gsm8k.jsonl")}`, "--temperature", "0", "--max-tokens", "16"];
    const prompt = ["--prompt-template", "{question}"];
    const remote = await runCli([
      ...["eval", path!, "--base-url", server.url, "--tokenizer", join(folder, "tiny")],
      ...[...shared, ...prompt, "--out", out("remote")],
    ]);
    expect(remote).toMatchObject({ code: 0, stdout: expect.stringContaining("2 × 1") });
    const local = await runCli(["eval", join(folder, "tiny"), ...shared, ...prompt, "--out", out("local")]);
    expect(local.code).toBe(0);
    const texts = async (name: string) =>
      (await readFile(join(out(name), "generations.jsonl"), "utf8"))
        .trim()
        .split("\n")
        .map((line) => {
          const { id, text, length } = JSON.parse(line) as Record<string, unknown>;
          return JSON.stringify([id, text, length]);
        })
        .sort();
    expect(await texts("remote")).toEqual(await texts("local"));
    expect(JSON.parse(await readFile(join(out("remote"), "evaluation.json"), "utf8"))).toMatchObject({
      target: { kind: "tinker", name: path },
      sets: [{ name: "gsm8k", questions: 2, samples: 1, verifier: "math" }],
    });
    for (const name of ["evaluation.json", "generations.jsonl", "summary.json"]) {
      expect(await readFile(join(out("remote"), name), "utf8")).not.toContain(server.apiKey);
    }
  });

  it("that does not exist is an error that names it", async () => {
    const { code, stderr } = await runCli([
      ...[
        "eval",
        "tinker://nobody/sampler_weights/nothing",
        "--base-url",
        server.url,
        "--tokenizer",
        join(folder, "tiny"),
      ],
      ...["--benchmark", `gsm8k=${join(folder, "gsm8k.jsonl")}`, "--out", join(folder, "missing")],
    ]);
    expect([code, stderr]).toEqual([2, expect.stringContaining("tinker://nobody/sampler_weights/nothing")]);
  });
});

it("takes a run with adapters by its merged model, of which nothing is frozen", async () => {
  const run = join(folder, "run");
  await mkdir(join(run, "model"), { recursive: true });
  const engine = "engine: { type: embedded, model: ../tiny, lora: { rank: 2 }, frozenWeights: stored }";
  await writeFile(
    join(run, "config.yaml"),
    `${engine}\ndata: { files: ../gsm8k.jsonl }\nreward: { functions: [{ name: math }] }\npreset: grpo\nsteps: 1\n`,
  );
  const { file, overrides } = loadTarget(run, { overrides: [] });
  const { engine: evaluated } = loadRunConfig({ file, overrides }).config;
  expect(evaluated).toMatchObject({ model: join(run, "model"), lora: null, frozenWeights: "float32" });
});
