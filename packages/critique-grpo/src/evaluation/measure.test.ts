/** An evaluation that is stopped and goes on is the evaluation that was never stopped. */
import { appendFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { copyCodec, copyPolicy, copyQuestions } from "../testing/copy-task.js";
import { EvaluationDirectory, type GenerationRecord, readGenerations, readSummary } from "./directory.js";
import { policyGenerator } from "./generators/policy.js";
import { measure } from "./measure.js";
import type { EvaluationSet, GenerationSettings } from "./types.js";

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "evaluation-"));
});
afterAll(() => rm(scratch, { recursive: true }));

const settings: GenerationSettings = { temperature: 1, maxTokens: 1, seed: 3, greedy: true };
const verifier: EvaluationSet["verifier"] = {
  name: "digit",
  score: ({ gold }, { text }) => ({ value: text === gold ? 1 : 0, correct: text === gold, parts: {} }),
  answers: { read: (_, text) => text || null, equal: (a, b) => a === b },
};
const sets: EvaluationSet[] = [
  { name: "first", questions: copyQuestions.slice(0, 5), samples: 4, verifier },
  { name: "second", questions: copyQuestions.slice(2), samples: 2, verifier },
];
const plan = { target: { kind: "model", name: "tabular" }, settings, evaluationSets: sets } as const;
const ask = () => policyGenerator(copyPolicy(), copyCodec);

const records = async (path: string) => {
  const all: GenerationRecord[] = [];
  for await (const record of readGenerations(path)) all.push(record);
  return all;
};
const sorted = (lines: readonly object[]) => lines.map((line) => JSON.stringify(line)).sort();

describe("measure", () => {
  it("goes on after any interruption: nothing is lost, nothing is there twice, the numbers are the same", async () => {
    const whole = await EvaluationDirectory.open(join(scratch, "whole"), plan);
    const expected = await measure(ask(), sets, { ...settings, journal: whole });
    await whole.finish(expected.summary);
    await whole.close();
    const all = await records(whole.path);
    expect(all).toHaveLength(5 * 5 + 6 * 3);

    for (const stopAfter of [1, 7, 20, 30]) {
      const path = join(scratch, `stopped-${stopAfter}`);
      const first = await EvaluationDirectory.open(path, plan);
      const controller = new AbortController();
      const onProgress = (done: number) => done >= stopAfter && controller.abort();
      const options = { ...settings, batchSequences: 6, signal: controller.signal, onProgress };
      await expect(measure(ask(), sets, { ...options, journal: first })).rejects.toThrow(/abort/i);
      await first.close();
      expect(await readSummary(path)).toBeNull();
      // What a kill in the middle of a write leaves.
      await appendFile(join(path, "generations.jsonl"), '{"schemaVersion":1,"set":"first","id":"a","samp');

      const second = await EvaluationDirectory.open(path, plan);
      expect(second.found).toBeGreaterThanOrEqual(stopAfter);
      const { summary } = await measure(ask(), sets, { ...settings, journal: second });
      await second.finish(summary);
      await second.close();
      expect(sorted(await records(path))).toEqual(sorted(all));
      expect({ ...summary, seconds: 0 }).toEqual({ ...expected.summary, seconds: 0 });
    }
  });

  it("asks nobody where everything is there", async () => {
    const directory = await EvaluationDirectory.open(join(scratch, "whole"), plan);
    const nobody = {
      generate: () => {
        throw new Error("asked");
      },
    };
    const { summary } = await measure(nobody, sets, { ...settings, journal: directory });
    await directory.close();
    const { schemaVersion, ...saved } = JSON.parse(await readFile(join(scratch, "whole/summary.json"), "utf8")) as {
      schemaVersion: number;
    };
    expect(schemaVersion).toBe(1);
    expect({ ...saved, seconds: 0 }).toMatchObject({ ...summary, seconds: 0 });
  });

  it("refuses to go on with other questions, settings or weights, and says what differs", async () => {
    const open = (changes: object) => EvaluationDirectory.open(join(scratch, "whole"), { ...plan, ...changes });
    await expect(open({ settings: { ...settings, seed: 4 } })).rejects.toThrow(
      /settings differ .*"seed":4.*another --out/,
    );
    await expect(open({ target: { ...plan.target, fingerprint: "b" } })).rejects.toThrow("target differ");
    const questions = sets[0]!.questions.map((question) => ({ ...question, gold: "0" }));
    await expect(open({ evaluationSets: [{ ...sets[0]!, questions }, sets[1]!] })).rejects.toThrow("questions differ");
  });

  it("keeps what was drawn before an engine fails, and tells when it draws too little", async () => {
    const directory = await EvaluationDirectory.open(join(scratch, "failing"), plan);
    const failing = {
      async *generate(requests: Parameters<ReturnType<typeof ask>["generate"]>[0]) {
        let left = 9;
        for await (const response of ask().generate(requests)) {
          if (left-- === 0) throw new Error("the server is gone");
          yield response;
        }
      },
    };
    await expect(measure(failing, sets, { ...settings, journal: directory })).rejects.toThrow("the server is gone");
    await directory.close();
    expect(await records(directory.path)).toHaveLength(9);
    const idle = { generate: async function* () {} };
    await expect(measure(idle, sets, settings)).rejects.toThrow("did not return all of the 4 samples of a");
  });
});

describe("sets with different numbers of samples", () => {
  it("have a ladder of their own; the whole has the shortest, and the unweighted mean", async () => {
    const { summary, questions } = await measure(ask(), sets, settings);
    expect(summary.sources).toHaveLength(1);
    expect(summary.samples).toBe(2);
    const named = sets.map((set) => ({
      ...set,
      questions: set.questions.map((question) => ({ ...question, dataSource: set.name })),
    }));
    const bySet = (await measure(ask(), named, settings)).summary;
    expect(bySet.sources.map(({ samples, passAt }) => [samples, passAt.map(({ k }) => k)])).toEqual([
      [4, [1, 2, 4]],
      [2, [1, 2]],
    ]);
    expect(bySet.macro).toBeCloseTo((bySet.sources[0]!.pass1.value + bySet.sources[1]!.pass1.value) / 2);
    expect(questions[0]!.majority!.votes).toBeGreaterThanOrEqual(1);
  });
});
