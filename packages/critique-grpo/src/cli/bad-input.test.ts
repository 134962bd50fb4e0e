/** Bad input through the real command line: one clear message, exit code 2, nothing started, nothing on disk lost. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CliProject, PROJECT_MODEL } from "../testing/cli-project.js";

let project: CliProject;
beforeEach(() => {
  project = new CliProject();
});
afterEach(() => project.remove());

async function train(...argv: string[]) {
  return project.run(["train", project.path("run.yaml"), "--run-directory", project.path("run"), ...argv]);
}

/** Trains into run/ and expects a refusal before anything is written. */
async function refusal(...argv: string[]): Promise<string> {
  const { code, stderr } = await train(...argv);
  expect(stderr).toMatch(/^error: /);
  expect(stderr).not.toMatch(/\n\s+at /);
  expect(code).toBe(2);
  expect(existsSync(project.path("run"))).toBe(false);
  return stderr.replaceAll(`${project.directory}/`, "");
}

/** A model directory with weights, as the CLI exports it. */
async function trainedModel(): Promise<string> {
  expect((await train("--set", "steps=1")).code).toBe(0);
  return project.path("run/model");
}

describe("bad configuration", () => {
  it("missing files", async () => {
    const { code, stderr } = await project.run(["train", project.path("none.yaml")]);
    expect([code, stderr]).toEqual([2, `error: ${project.path("none.yaml")}: no such configuration file\n`]);
    expect(await refusal("--set", "data.files=none.jsonl")).toContain("data.files: no such file: none.jsonl");
    expect(await refusal("--set", "engine.model=none")).toContain("engine.model: no such directory: none");
    expect(await refusal("--set", "tokenizer.path=none")).toContain("tokenizer.path: no such directory: none");
    expect(await refusal("--set", "reward.functions.0.module=none.ts")).toContain(
      "reward.functions[0].module: no such file: none.ts",
    );
  });

  it("a wrong key, in the YAML and after --set", async () => {
    const yaml = readFileSync(project.path("run.yaml"), "utf8");
    project.write("run.yaml", yaml.replace("maxTokens: 6", "max_tokens: 6"));
    expect(await refusal()).toContain('run.yaml:15:3: sampling.max_tokens: unknown key; did you mean "maxTokens"?');
    project.write("run.yaml", yaml);
    expect(await refusal("--set", "sampling.temprature=1")).toContain('did you mean "temperature"?');
  });

  it("an unknown preset, command and option", async () => {
    expect(await refusal("--preset", "critique-gpro")).toContain('did you mean "critique-grpo"?');
    expect(await project.run(["trian"])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("Did you mean train?"),
    });
    expect(await project.run(["train", "--reusme"])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("--resume"),
    });
  });

  it("a reward module without a function", async () => {
    project.write("reward.ts", "export const rewards = 3;");
    expect(await refusal()).toMatch(/reward\.ts .*it exports rewards/);
  });
});

describe("bad data", () => {
  it("an empty data set", async () => {
    project.write("data.jsonl", "\n");
    expect(await refusal()).toContain("data.jsonl: no questions (no rows)");
  });

  it("a broken line", async () => {
    project.write("data.jsonl", '{"question":"1"}\n{"question":\n');
    expect(await refusal()).toContain("data.jsonl:2: not valid JSON");
  });

  it("a prompt longer than the context", async () => {
    project.write("data.jsonl", `{"question":"1"}\n{"question":"${"9".repeat(60)}"}\n`);
    const message = await refusal();
    expect(message).toContain(
      "1 of 2 prompts are too long: context length 64 less 6 tokens for the response leaves 58",
    );
    expect(message).toContain("data.jsonl:2: 60 tokens");
  });
});

describe("bad models", () => {
  it("no model in the directory", async () => {
    expect(await refusal("--set", "engine.model=.", "--set", "tokenizer.path=model")).toContain(
      "config.json: no such file; a Hugging Face model directory is needed",
    );
  });

  it("an unknown architecture", async () => {
    project.write(
      "model/config.json",
      JSON.stringify({ ...PROJECT_MODEL, architectures: ["GPT2LMHeadModel"], model_type: "gpt2" }),
    );
    expect(await refusal()).toMatch(/config\.json.*GPT2LMHeadModel/);
  });

  it("a tokenizer of another model", async () => {
    project.write("model/config.json", JSON.stringify({ ...PROJECT_MODEL, vocab_size: 50 }));
    expect(await refusal()).toContain(
      "the model's vocabulary has 50 tokens; tokenizer and model do not belong together",
    );
  });

  it("truncated and NaN weights", async () => {
    const model = await trainedModel();
    const weights = readFileSync(`${model}/model.safetensors`);
    const again = async (content: Uint8Array) => {
      project.write("run/model/model.safetensors", content);
      const { code, stderr } = await train("--run-directory", project.path("other"), "--set", `engine.model=${model}`);
      expect(code).toBe(2);
      expect(existsSync(project.path("other"))).toBe(false);
      return stderr;
    };
    expect(await again(weights.subarray(0, weights.length - 100))).toMatch(/model\.safetensors.*(truncated|bytes)/);
    expect(await again(weights.subarray(0, 20))).toMatch(/model\.safetensors/);
    const poisoned = Buffer.from(weights);
    poisoned.writeUInt32LE(0x7fc00000, poisoned.length - 8);
    expect(await again(poisoned)).toMatch(/model\.safetensors.*(NaN|not finite|finite)/);
  });
});

describe("rewards that fail inside a run", () => {
  it.each([
    ["throws", 'throw new Error("no luck");', "no luck"],
    ["returns NaN", "return NaN;", "NaN"],
    ["returns nothing", "return undefined as unknown as number;", "undefined"],
  ])("one that %s fails the sample visibly and is counted", async (_, body, reason) => {
    project.write(
      "reward.ts",
      `let calls = 0; export default ({ tokens }: { tokens: number[] }) => { if (calls++ % 2 === 0) { ${body} } return tokens[0]! % 2; };`,
    );
    const { code, stdout } = await train();
    expect(code).toBe(0);
    expect(stdout).toMatch(/warning \(step 1\): .*reward/);
    const lines = readFileSync(project.path("run/metrics.jsonl"), "utf8").trim().split("\n");
    expect(lines.map((line) => (JSON.parse(line) as Record<string, number>)["reward/failures"])).toEqual([3, 3]);
    expect(readFileSync(project.path("run/rollouts/step-000001.jsonl"), "utf8")).toContain(reason);
  });
});

describe("what is on disk is not lost", () => {
  it("a run directory is never overwritten without --resume", async () => {
    expect((await train()).code).toBe(0);
    const before = snapshot();
    const { code, stderr } = await train();
    expect([code, stderr]).toEqual([
      2,
      expect.stringMatching(/already holds a run; resume it or choose another run directory/),
    ]);
    expect(snapshot()).toEqual(before);
  });

  it("a resumed run with another configuration is refused and changes nothing", async () => {
    expect((await train()).code).toBe(0);
    const before = snapshot();
    const { code, stderr } = await train("--resume", "--set", "optimizer.learningRate=1e-4");
    expect([code, stderr]).toEqual([2, expect.stringMatching(/different: optimizer\.learningRate/)]);
    expect(snapshot()).toEqual(before);
  });

  function snapshot(): unknown {
    return readdirSync(project.path("run"), { recursive: true, encoding: "utf8" })
      .sort()
      .map((name) => [name, statSync(project.path("run", name)).size]);
  }
});
