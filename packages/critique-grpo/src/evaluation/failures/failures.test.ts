import { appendFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runSchema } from "../../config/schema.js";
import { createProgramCritic } from "../../feedback/critique/program.js";
import { createScorer } from "../../feedback/reward/reward.js";
import { CliProject } from "../../testing/cli-project.js";
import {
  copyCodec,
  copyConfig,
  copyCritique,
  copyPolicy,
  copyQuestions,
  copyRewards,
} from "../../testing/copy-task.js";
import { analyseFailures, type FailureOptions } from "./analyse.js";
import { FailureDirectory } from "./directory.js";
import { failureReport } from "./report.js";

const TRIES = 4;

function options(overrides: Partial<FailureOptions> = {}): FailureOptions {
  return {
    ...{ config: runSchema.parse(copyConfig()), policy: copyPolicy(), codec: copyCodec, questions: copyQuestions },
    ...{ score: createScorer(copyRewards, 0.5), tries: TRIES, refine: TRIES },
    // The policy knows nothing of letters; after a critique that ends in the answer it repeats it.
    critics: [
      { name: "program", critic: createProgramCritic(copyCritique) },
      { name: "mute", critic: createProgramCritic(() => "X") },
      { name: "broken", critic: createProgramCritic(() => "") },
    ],
    ...overrides,
  };
}

describe("analyseFailures", () => {
  it("finds the questions never solved, and what each kind of critique solves of them", async () => {
    const attempts = await analyseFailures(options());
    const report = failureReport(attempts, TRIES, TRIES);
    const base = attempts.filter(({ stage }) => stage === "base");
    const never = base.filter(({ initial }) => !initial.some(({ text, reward }) => reward.correct && text !== ""));
    expect(report).toMatchObject({ questions: 8, tries: TRIES, failed: never.length, refinedTries: TRIES });
    expect(report.failed).toBeGreaterThan(3);
    expect(report.failedQuestions).toEqual(never.map(({ question }) => question.id));
    expect(report.passAtTries.value).toBeCloseTo(1 - never.length / 8);

    const [none, program, mute, broken] = report.critics;
    expect(report.critics.map(({ critic }) => critic)).toEqual(["none", "program", "mute", "broken"]);
    for (const { refinements } of [none!, program!, mute!]) expect(refinements).toBe(never.length * TRIES);
    expect(program!.solved).toBe(never.length);
    expect(program!.solvedRate.value).toBe(1);
    expect(program!.validCritiqueRate).toBe(1);
    // exp(4) / (exp(4) + 18) of all refinements repeat the answer.
    expect(program!.validRefinementRate).toBeGreaterThan(0.5);
    for (const { solved } of [none!, mute!]) expect(solved).toBeLessThan(never.length);
    expect(Number.isNaN(none!.validCritiqueRate)).toBe(true);
    // The sentence that stands in for it has letters that this tokenizer lacks.
    expect(broken).toMatchObject({ validCritiques: 0, validCritiqueRate: 0, skipped: never.length * TRIES, solved: 0 });
  });

  it("refines as many tries as it is told, and needs no failures", async () => {
    const report = failureReport(await analyseFailures(options({ refine: 1 })), TRIES, 1);
    for (const { refinements } of report.critics.slice(0, 3)) expect(refinements).toBe(report.failed);
    const easy = options({ score: createScorer([{ name: "any", score: () => 1 }], 0.5) });
    expect(failureReport(await analyseFailures(easy), TRIES, TRIES)).toMatchObject({
      failed: 0,
      passAtTries: { value: 1 },
    });
  });
});

describe("a stopped analysis", () => {
  let scratch: string;
  beforeAll(async () => {
    scratch = await mkdtemp(join(tmpdir(), "failures-"));
  });
  afterAll(() => rm(scratch, { recursive: true }));
  const identity = { target: { kind: "model", name: "tabular" }, settings: { tries: TRIES } } as const;

  it("goes on to the same report, draws nothing twice, and takes further critics", async () => {
    const expected = failureReport(await analyseFailures(options()), TRIES, TRIES);
    const path = join(scratch, "stopped");
    const controller = new AbortController();
    const journal = await FailureDirectory.open(path, identity, copyQuestions);
    const onProgress = (stage: string) => stage === "program" && controller.abort();
    const first = options({
      journal,
      signal: controller.signal,
      onProgress,
      batchQuestions: 2,
      critics: options().critics.slice(0, 1),
    });
    await expect(analyseFailures(first)).rejects.toThrow(/abort/i);
    await appendFile(join(path, "attempts.jsonl"), '{"schemaVersion":1,"stage":"prog');

    const again = await FailureDirectory.open(path, identity, copyQuestions);
    const report = failureReport(await analyseFailures(options({ journal: again })), TRIES, TRIES);
    expect(report).toEqual(expected);
    const lines = (await readFile(join(path, "attempts.jsonl"), "utf8")).trim().split("\n");
    const keys = lines.map((line) => {
      const { stage, question } = JSON.parse(line) as { stage: string; question: { id: string } };
      return `${stage} ${question.id}`;
    });
    expect(new Set(keys).size).toBe(keys.length);
    expect(keys).toHaveLength(8 + 4 * expected.failed);

    const more = await FailureDirectory.open(path, identity, copyQuestions);
    const policy = copyPolicy();
    const critics = [...options().critics, { name: "other", critic: createProgramCritic(copyCritique) }];
    await analyseFailures(options({ journal: more, policy, critics }));
    expect(policy.requests).toHaveLength(expected.failed * TRIES);
    await expect(FailureDirectory.open(path, { ...identity, settings: { tries: 5 } }, copyQuestions)).rejects.toThrow(
      "another analysis",
    );
  });
});

describe("critique-grpo failures", () => {
  it("runs on the embedded engine, with the critic of the YAML and others", async () => {
    const project = new CliProject();
    try {
      project.write("critic.ts", "export default () => 'again';");
      const argv = [
        ...[
          "failures",
          project.path("run.yaml"),
          "--tries",
          "2",
          "--set",
          "reward.correctAt=1",
          "--set",
          "sampling.maxTokens=3",
        ],
        ...["--set", "refinement.template={question}{response}{critique}", "--critic", "simple"],
        ...["--critic", `program=${project.path("critic.ts")}`, "--out", project.path("failures")],
      ];
      const table = await project.run(argv);
      expect(table.stderr).toContain(`every attempt: ${project.path("failures")}`);
      expect(table.code).toBe(0);
      expect(table.stdout).toMatch(/^3 questions, 2 tries each: pass@1 /);
      const report = JSON.parse(await readFile(project.path("failures/report.json"), "utf8")) as { critics: object[] };
      expect(report).toMatchObject({ schemaVersion: 1, questions: 3, tries: 2 });
      const again = await project.run([...argv, "--json"]);
      expect(JSON.parse(again.stdout)).toEqual(
        Object.fromEntries(Object.entries(report).filter(([key]) => key !== "schemaVersion" && key !== "time")),
      );
      for (const [critic, message] of [
        ["teacher", "set critique.type teacher in the YAML"],
        ["program", "write --critic program=critic.ts"],
        ["nobody", "there is no such critic"],
      ]) {
        const { code, stderr } = await project.run(["failures", project.path("run.yaml"), "--critic", critic!]);
        expect([code, stderr]).toEqual([2, expect.stringContaining(message!)]);
      }
    } finally {
      project.remove();
    }
  });
});
