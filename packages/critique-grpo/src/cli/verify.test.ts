import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { runCli } from "../testing/cli-project.js";

describe("critique-grpo verify", () => {
  const directory = mkdtempSync(join(tmpdir(), "verify-"));
  afterAll(() => rmSync(directory, { recursive: true }));
  const file = (name: string, content: string) => {
    writeFileSync(join(directory, name), content);
    return join(directory, name);
  };
  const records = [
    { id: 1, gold: "0.5", prediction: "\\boxed{\\frac12}" },
    { id: 2, gold: "-5", prediction: "the answer is 5" },
    { id: 3, gold: "\\frac{1}{", prediction: "\\boxed{7}" },
    { id: 4, gold: "1000", prediction: "1,000", options: { match_types: ["expr"] } },
  ];
  const outcomes = [
    [1, true, "correct"],
    [2, false, "incorrect"],
    [3, false, "unverifiable"],
    [4, true, "correct"],
  ];

  it.each([
    ["cases.json", JSON.stringify(records)],
    ["cases.jsonl", records.map((record) => JSON.stringify(record)).join("\n")],
  ])("grades the records of %s and keeps what they hold", async (name, content) => {
    const out = join(directory, `${name}.out`);
    const { code, stdout } = await runCli(["verify", "--cases", file(name, content), "--out", out]);
    expect(code).toBe(0);
    expect(stdout).toContain("4 records, median");
    const graded = readFileSync(out, "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(graded.map(({ id, correct, outcome }) => [id, correct, outcome])).toEqual(outcomes);
    expect(graded[0]).toMatchObject({ ...records[0], reason: expect.any(String), micros: expect.any(Number) });
  });

  it("grades one answer from the arguments", async () => {
    const { stdout } = await runCli(["verify", "--gold", "1/2", "--prediction", "0.5"]);
    expect(JSON.parse(stdout)).toMatchObject({ correct: true });
  });

  it.each([
    ["no.jsonl", null, "cannot be read"],
    ["empty.jsonl", "\n", "no records"],
    ["torn.jsonl", '{"gold": "1", "prediction": "1"}\n{"gold', "torn.jsonl:2"],
    ["object.json", "{}", "array of records"],
    ["no-prediction.jsonl", '{"gold": "1"}', '"prediction" must be text'],
    ["number.jsonl", '{"gold": 1, "prediction": "1"}', '"gold" must be text'],
    ["option.jsonl", '{"gold": "1", "prediction": "1", "options": {"float_rounding": -1}}', "option.jsonl:1"],
  ])("%s: one clear message", async (name, content, message) => {
    const path = content === null ? join(directory, name) : file(name, content);
    const { code, stderr } = await runCli(["verify", "--cases", path]);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });
});
