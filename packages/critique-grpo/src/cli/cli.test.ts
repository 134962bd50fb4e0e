/** The commands as a user runs them, on a model of a few thousand parameters. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { CliProject, runCli } from "../testing/cli-project.js";

let project: CliProject;
beforeAll(() => {
  project = new CliProject();
});
afterAll(() => project.remove());

describe("train", () => {
  it("trains, tells every step in a plain line, and leaves a model", async () => {
    const { code, stdout } = await project.run([
      "train",
      project.path("run.yaml"),
      "--run-directory",
      project.path("first"),
    ]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^reading data …\n3 questions; loading the model …\n/);
    expect(stdout).toMatch(/^step 1\/2 {2}reward \S+ {2}accuracy .* tokens\/s .* ETA \d+:\d\d$/m);
    expect(stdout).not.toContain("\x1b[");
    expect(stdout).toContain(`finished 2 steps; model in ${project.path("first/model")}`);
    expect(existsSync(project.path("first/model/model.safetensors"))).toBe(true);
    expect(existsSync(project.path("first/model/tokenizer.json"))).toBe(true);
  });

  it("--dry-run prints the resolved configuration and the plan, and writes nothing", async () => {
    const argv = [
      "train",
      project.path("run.yaml"),
      "--dry-run",
      "--set",
      "seed=7",
      "--run-directory",
      project.path("dry"),
    ];
    const { code, stdout } = await project.run(argv);
    expect(code).toBe(0);
    expect(stdout).toContain("Plan (nothing was started):");
    expect(stdout).toContain("at most 6 a step, 36 tokens a step");
    const resolved = parse(
      stdout.slice(stdout.indexOf("\n\n"), stdout.indexOf("Plan")).replace(/^.*…$/gm, ""),
    ) as Record<string, unknown>;
    expect(resolved).toMatchObject({ seed: 7, checkpoint: { every: 1, keep: 2 } });
    expect(existsSync(project.path("dry"))).toBe(false);
  });

  it("Ctrl-C ends with a checkpoint, and --resume goes on to the same weights", async () => {
    const argv = (directory: string) => [
      "train",
      project.path("run.yaml"),
      "--set",
      "steps=3",
      "--run-directory",
      project.path(directory),
    ];
    expect((await project.run(argv("whole"))).code).toBe(0);

    const controller = new AbortController();
    const running = project.run(argv("stopped"), { signal: controller.signal });
    while (!existsSync(project.path("stopped/metrics.jsonl"))) await new Promise((resolve) => setTimeout(resolve, 2));
    controller.abort();
    const stopped = await running;
    expect(stopped.code).toBe(130);
    expect(stopped.stdout).toMatch(/stopped after step \d; continue with --resume/);
    expect(existsSync(project.path("stopped/model"))).toBe(false);

    const resumed = await project.run(["train", "--resume", project.path("stopped")]);
    expect(resumed.code).toBe(0);
    expect(resumed.stdout).toMatch(/continuing after step [12] of 3/);
    const weights = (directory: string) => readFileSync(project.path(directory, "model/model.safetensors"));
    expect(weights("stopped").equals(weights("whole"))).toBe(true);
  });

  it("evaluates on held-out files and benchmarks while it trains", async () => {
    project.write("exam.jsonl", '{"question":"1+1?","answer":"#### 2"}\n{"question":"2+3?","answer":"#### 5"}\n');
    const { code, stdout } = await project.run([
      ...["train", project.path("run.yaml"), "--run-directory", project.path("examined")],
      ...["--set", "evaluation.files=data.jsonl", "--set", "evaluation.benchmarks=[{ name: gsm8k, file: exam.jsonl }]"],
      ...["--set", "evaluation.benchmarkSamples=2", "--set", "data.promptTemplate={question}"],
    ]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^evaluation after step 2: pass@1 /m);
    const records = readFileSync(project.path("examined/evaluations.jsonl"), "utf8").trim().split("\n");
    expect(records.map((line) => JSON.parse(line) as unknown)).toMatchObject(
      [0, 2].map((step) => ({
        step,
        questions: 5,
        macro: expect.any(Number),
        sources: [
          { dataSource: "data", questions: 3, samples: 1 },
          { dataSource: "gsm8k", questions: 2, samples: 2, majority: {} },
        ],
      })),
    );
    const plan = await project.run([
      ...["train", project.path("run.yaml"), "--dry-run", "--set", "evaluation.benchmarks=[math50]"],
    ]);
    expect(plan.stderr).toContain('"math50" is not one of math500, minerva');
  });

  it("says which run to resume if it is not told", async () => {
    const { code, stderr } = await project.run(["train", "--resume"]);
    expect([code, stderr]).toEqual([2, "error: --resume needs the run to continue, e.g. --resume runs/my-run\n"]);
  });
});

describe("eval", () => {
  const held = () => ["--files", project.path("data.jsonl"), "--set", "reward.correctAt=0.9"];

  it("prints a table, a summary as JSON, and keeps every response", async () => {
    const out = project.path("evaluated");
    const argv = ["eval", project.path("run.yaml"), ...held(), "--samples", "4", "--greedy", "--out", out];
    const table = await project.run(argv);
    expect([table.code, table.stderr]).toEqual([0, `every generation: ${out}\n`]);
    expect(table.stdout).toMatch(
      /^source\s+questions\s+pass@1\s+pass@2\s+pass@4\s+greedy\s+never solved\s+reward\s+tokens\s+cut off\nall\s+3 × 4 /,
    );
    const lines = readFileSync(project.path("evaluated/generations.jsonl"), "utf8").trim().split("\n");
    expect(lines).toHaveLength(15);
    expect(JSON.parse(lines[0]!)).toMatchObject({ schemaVersion: 1, set: "data", reward: { parts: {} } });

    // The same command finds all of it there: no model is needed any more.
    const json = await project.run([...argv, "--json"]);
    expect(json.stderr).toContain("15 responses are there already");
    expect(readFileSync(project.path("evaluated/generations.jsonl"), "utf8").trim().split("\n")).toEqual(lines);
    const summary = JSON.parse(json.stdout) as { questions: number; passAt: { k: number }[] };
    expect(summary.questions).toBe(3);
    expect(summary.passAt.map(({ k }) => k)).toEqual([1, 2, 4]);
    expect((await project.run([...argv, "--seed", "5"])).stderr).toContain("holds another evaluation: settings differ");
  });

  it("takes a finished run, its configuration and its model, and a model directory", async () => {
    const { code, stderr } = await project.run(["eval", project.path("first")]);
    expect([code, stderr]).toEqual([2, expect.stringContaining("no questions: give --benchmark or --files")]);
    const run = await project.run(["eval", project.path("first"), ...held()]);
    expect(run.code).toBe(0);
    expect(run.stderr).toContain(project.path("first/evaluations/data-"));
    const argv = ["--files", project.path("data.jsonl"), "--reward", "exact-match", "--plain"];
    const model = await project.run(["eval", project.path("first/model"), ...argv, "--out", project.path("bare")]);
    expect([model.code, model.stdout]).toEqual([0, expect.stringContaining("all         3 × 1")]);
    const manifest = JSON.parse(readFileSync(project.path("bare/evaluation.json"), "utf8")) as object;
    expect(manifest).toMatchObject({ target: { kind: "model" }, settings: { maxTokens: 48 } });
  });

  it("scores saved generations anew", async () => {
    project.write(
      "saved.jsonl",
      [
        { gold: "1/2", responses: ["so it is \\boxed{0.5}", "\\boxed{2}", "\\boxed{\\frac{1}{2}}"] },
        { gold: "7", responses: [{ text: "\\boxed{8}", length: 5 }, "\\boxed{7}", "\\boxed{8.0}"] },
      ]
        .map((row) => `${JSON.stringify(row)}\n`)
        .join(""),
    );
    const out = project.path("rescored");
    const first = await project.run(["eval", "--rescore", project.path("saved.jsonl"), "--json", "--out", out]);
    // 2 of 3 and 1 of 3 right; the votes are 0.5 = 1/2 (right) and 8 = 8.0 (wrong).
    expect(JSON.parse(first.stdout)).toMatchObject({ pass1: { value: 0.5 }, majority: { value: 0.5 } });
    const again = await project.run(["eval", "--rescore", out, "--reward", "exact-match"]);
    expect(again.stderr).toBe("");
    expect(again.stdout).toContain("3 of 6 verdicts changed");
  });

  it.each([
    [[], "nothing to evaluate; name a run"],
    [["http://user:secret@localhost/v1", "--model", "m"], "must not hold user, password or query"],
    [["http://localhost/v1"], "--model must name the model"],
    [["tinker://a/sampler_weights/b"], "--tokenizer must name"],
    [["run.yaml", "--benchmark", "math50"], 'did you mean "math500"?'],
    [["run.yaml", "--files", "data.jsonl", "--samples", "2", "--temperature", "0"], "2 samples at temperature 0"],
  ])("%j is refused", async (argv, message) => {
    const paths = argv.map((part) => (/^\w+\.(yaml|jsonl)$/.test(part) ? project.path(part) : part));
    const { code, stderr } = await project.run(["eval", ...paths]);
    expect(stderr).toContain(message);
    expect(stderr).not.toContain("secret");
    expect(code).toBe(2);
  });
});

describe("sample", () => {
  const model = () => ["sample", "--model", project.path("first/model"), "--max-tokens", "4"];

  it("takes prompts from arguments, a file or standard input", async () => {
    const json = (stdout: string) =>
      stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as { prompt: string; sample: number; tokens: number });
    const fromArguments = await project.run([...model(), "--json", "--count", "2", "ab", "cd"]);
    expect(json(fromArguments.stdout).map(({ prompt, sample }) => [prompt, sample])).toEqual([
      ["ab", 0],
      ["ab", 1],
      ["cd", 0],
      ["cd", 1],
    ]);
    writeFileSync(project.path("prompts.txt"), "ab\n\ncd\n");
    const fromFile = await project.run([...model(), "--json", "--count", "2", "--file", project.path("prompts.txt")]);
    expect(fromFile.stdout).toBe(fromArguments.stdout);
    const fromInput = await project.run([...model(), "--json", "--count", "2"], { stdin: "ab\n" });
    expect(json(fromInput.stdout)).toEqual(json(fromArguments.stdout).slice(0, 2));
  });

  it.each([
    [["x"], ["--top-p", "2"], "--top-p is 2; it must be in (0, 1]"],
    [[], [], "no prompt; give one as an argument, with --file, or on standard input"],
    [
      ["y".repeat(62)],
      [],
      "prompt 1 has 62 tokens; with --max-tokens 4 it does not fit the context of 64. Use --max-tokens 2 or less",
    ],
    [["x"], ["--temperature", "hot"], "It must be a number of at least 0."],
  ])("%j %j is refused", async (prompts, options, message) => {
    const { code, stderr } = await project.run([...model(), ...options, ...prompts]);
    expect(stderr).toContain(message);
    expect(code).toBe(2);
  });
});

describe("sft", () => {
  it("trains on pairs and leaves a model", async () => {
    project.write("pairs.jsonl", '{"prompt":"a","response":"b"}\n{"prompt":"c","response":"d"}\n');
    project.write(
      "sft.yaml",
      "engine: { type: embedded, model: { config: model/config.json }, threads: 1 }\ndata: { files: pairs.jsonl, format: plain }\nsteps: 2\nbatchSize: 2\n",
    );
    const { code, stdout } = await project.run([
      "sft",
      project.path("sft.yaml"),
      "--run-directory",
      project.path("sft"),
    ]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^step 2\/2 {2}loss /m);
    expect(existsSync(project.path("sft/model/model.safetensors"))).toBe(true);
  });

  it("says in a dry run what memory it takes, and is refused where it cannot fit", async () => {
    const dryRun = (...more: string[]) => project.run(["sft", project.path("sft.yaml"), "--dry-run", ...more]);
    expect((await dryRun()).stdout).toMatch(/training about \d\.\d GiB of/);
    const { code, stderr } = await dryRun("--set", "engine.memoryGiB=0.01");
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/training needs about .* but may plan with 0\.0 GiB/);
  });
});

describe("doctor", () => {
  it("tries a small model and tells what it found", async () => {
    const { code, stdout } = await runCli(["doctor", "--json"]);
    const findings = JSON.parse(stdout) as { name: string; outcome: string; detail: string }[];
    expect(findings.map(({ name }) => name)).toEqual([
      "node",
      "platform",
      "memory",
      "directory",
      "engine",
      "training",
      "device webgpu",
      "device cuda",
    ]);
    expect(findings.find(({ name }) => name === "engine")?.detail).toContain("CPUExecutionProvider");
    expect(findings.find(({ name }) => name === "training")).toMatchObject({
      outcome: "ok",
      detail: expect.stringMatching(/forward and backward at [\d,]+ tokens\/s/),
    });
    // This machine may have a GPU or not; either way it says so in words, and is fit for training.
    for (const { outcome, detail } of findings.slice(-2))
      if (outcome === "absent") expect(detail).toMatch(/^not available: .*(ONNX Runtime|adapter|not beside)/);
    expect(code).toBe(0);
  });
});

describe("help", () => {
  it.each(["train", "sft", "sample", "eval", "doctor", "presets", "schema"])(
    "%s --help shows how to use it",
    async (command) => {
      const { code, stdout } = await runCli([command, "--help"]);
      expect(code).toBe(0);
      expect(stdout).toContain(`Usage: critique-grpo ${command}`);
      expect(stdout.length).toBeGreaterThan(300);
    },
  );

  it("documents the exit codes", async () => {
    expect((await runCli(["--help"])).stdout).toContain("Exit codes: 0 done, 1 a run failed, 2 wrong arguments");
    expect((await runCli([])).code).toBe(2);
  });

  it("prints presets and a JSON Schema", async () => {
    expect((await runCli(["presets"])).stdout).toMatch(/^grpo .*\ndr-grpo .*\n(.*\n)*critique-grpo .*\n(.*\n)*raft .*/);
    expect(parse((await runCli(["presets", "grpo"])).stdout)).toMatchObject({ algorithm: { advantage: "mean-std" } });
    const schema = JSON.parse((await runCli(["schema"])).stdout) as { properties: object };
    expect(Object.keys(schema.properties)).toContain("refinement");
  });
});
