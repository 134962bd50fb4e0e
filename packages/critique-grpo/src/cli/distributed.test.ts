import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import { stringify } from "yaml";
import { loadRunConfig } from "../config/run.js";
import { CliProject, PROJECT_CONFIG, runCli } from "../testing/cli-project.js";

const CONFIGS = resolve(import.meta.dirname, "../../../../configs");
const files = readdirSync(CONFIGS).filter((name) => name.endsWith(".yaml"));
const project = new CliProject();
const elsewhere = mkdtempSync(join(tmpdir(), "critique-grpo-configs-"));
afterAll(() => {
  project.remove();
  rmSync(elsewhere, { recursive: true });
});
afterEach(() => vi.unstubAllEnvs());

/** A server that cannot be reached: a dry run must not try. */
const ENGINE = { type: "tinker", baseUrl: "http://192.0.2.1:9", baseModel: "some/model", contextLength: 64 };

function write(overrides: Record<string, unknown>): string {
  const tinker = {
    ...PROJECT_CONFIG,
    engine: ENGINE,
    tokenizer: { path: "model" },
    algorithm: { entropyCoefficient: 0 },
  };
  return project.write("distributed.yaml", stringify({ ...tinker, ...overrides }));
}

const dryRun = (overrides: Record<string, unknown> = {}) => runCli(["train", write(overrides), "--dry-run"]);

describe("the paper's configurations", () => {
  it.each(files)("%s: a dry run needs neither data nor network nor key", async (name) => {
    vi.stubEnv("TINKER_API_KEY", "");
    const { code, stdout, stderr } = await runCli(["train", join(CONFIGS, name), "--dry-run"]);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect(stdout).toContain("at most 1,792 a step");
    expect(stdout).toContain("LoRA of rank 32");
  });

  it("have the published hyper-parameters", () => {
    const models = files.map((name) => {
      const { config } = loadRunConfig({ file: join(CONFIGS, name), allowMissing: true });
      expect(config).toMatchObject({
        ...{ questionsPerStep: 128, miniBatches: 2, steps: 930 },
        sampling: { temperature: 1, topP: 1, topK: 0, maxTokens: 6144 },
        critique: { type: "simple_gt" },
        refinement: { count: 1 },
        algorithm: {
          ...{ initialResponses: 7, advantage: "mean", clip: null, aggregation: "constant-length" },
          ...{ shaping: { type: "ratio", gamma: 0.1 }, entropyCoefficient: 0.001, klCoefficient: 0 },
        },
        optimizer: { learningRate: 1e-6, schedule: "constant", weightDecay: 0.01, maxGradNorm: 1 },
        evaluation: { temperature: 0.6 },
      });
      return config.engine.type === "tinker" ? config.engine.baseModel : "";
    });
    expect(models.sort()).toEqual(["Qwen/Qwen2.5-7B", "Qwen/Qwen3-8B", "meta-llama/Llama-3.2-3B-Instruct"]);
  });

  it("hold no key", () => {
    for (const name of files) expect(readFileSync(join(CONFIGS, name), "utf8")).not.toMatch(/tml-|eyJ|api.?key:/i);
  });
});

describe("a dry run on a Tinker server", () => {
  it("names the teacher, what it may cost, and that nobody asked it", async () => {
    const teacher = "critique={type: teacher, model: gpt-x, budget: {calls: 5000}}";
    const file = join(CONFIGS, "qwen3-8b.yaml");
    const { code, stdout } = await runCli(["train", file, "--dry-run", "--set", teacher]);
    expect(code).toBe(0);
    expect(stdout).toContain(
      "teacher gpt-x at https://api.openai.com/v1 (key from OPENAI_API_KEY; not asked now), wrong responses, at most 5,000 calls",
    );
    expect(stdout).toContain("whether https://api.openai.com/v1 answers, accepts the key and serves gpt-x");
  });

  it("checks data that is here", async () => {
    const { code, stdout } = await dryRun();
    expect(code).toBe(0);
    expect(stdout).toContain("3 questions, longest prompt 2 tokens");
    expect(stdout).toContain("whether http://192.0.2.1:9 answers");
    const long = await dryRun({ engine: { ...ENGINE, contextLength: 7 } });
    expect(long).toMatchObject({ code: 2, stderr: expect.stringContaining("prompts are too long") });
  });

  it.each([
    [{ tokenizer: {} }, "tokenizer.path: is missing"],
    [{ sampling: { maxTokens: 6, temperature: 0.7 } }, "sampling.temperature: is 0.7"],
    [{ algorithm: { entropyCoefficient: 0.001 } }, "set engine.entropy to estimate"],
    [{ engine: { ...ENGINE, dialect: "skyrl-jax" } }, "optimizer.maxGradNorm: is 1, but skyrl-jax ignores"],
    [
      { engine: { ...ENGINE, dialect: "skyrl-train" }, optimizer: { beta2: 0.95 } },
      "optimizer.beta2: is 0.95, but skyrl-train takes only the learning rate",
    ],
    [{ engine: { ...ENGINE, dialect: "hosted", loraRank: 0 } }, "engine.loraRank: is 0 (full fine-tuning)"],
    [{ engine: { ...ENGINE, baseUrl: "https://user:secret@host" } }, "engine.baseUrl: must be an http(s) address"],
    [{ engine: { ...ENGINE, apiKey: "tml-x" } }, "engine.apiKey: unknown key"],
    [{ reward: { functions: [{ name: "bytes", module: "none.ts" }] } }, "no such file"],
  ])("refuses %j", async (overrides, message) => {
    const { code, stderr } = await dryRun(overrides);
    expect(stderr).toContain(message);
    expect(code).toBe(2);
  });
});

describe("other commands on a Tinker server", () => {
  it("sft --dry-run asks neither network nor key, and refuses what the server would ignore", async () => {
    const pairs = { files: project.write("pairs.jsonl", '{"prompt":"1","response":"2"}\n'), format: "plain" };
    const sft = (engine: object) => {
      const config = { engine, tokenizer: { path: "model" }, data: pairs, steps: 1 };
      return runCli(["sft", project.write("sft.yaml", stringify(config)), "--dry-run"]);
    };
    expect(await sft(ENGINE)).toMatchObject({ code: 0, stdout: expect.stringContaining("1 steps of 32 pairs") });
    const refused = await sft({ ...ENGINE, dialect: "skyrl-jax" });
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining("maxGradNorm is 1, the server uses 0") });
  });

  it("eval says that a model directory cannot take the place of a model on a server", async () => {
    const { code, stderr } = await runCli([
      "eval",
      write({}),
      "--model",
      project.path("model"),
      "--files",
      "data.jsonl",
    ]);
    expect(stderr).toContain("engine.type is tinker, which evaluates engine.baseModel on its server");
    expect(code).toBe(2);
  });
});
