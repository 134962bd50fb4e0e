import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parse, verify, verifyRecord } from "./index.js";
import { optionsFromRecord } from "./options.js";
import { hasSharedData, readShared } from "./testing/shared.js";

interface Case {
  readonly id: string;
  readonly kind: string;
  readonly gold: string | null;
  readonly prediction: string;
  readonly options: Record<string, unknown>;
  readonly expected: unknown;
  readonly reference_bug?: boolean;
}

describe.skipIf(!hasSharedData)("the test suite of Math-Verify", () => {
  const cases = hasSharedData ? (JSON.parse(readShared("math-grading/cases.json")) as Case[]) : [];

  test("every comparison is decided as expected, but for the one whose expectation is wrong", () => {
    const graded = cases.filter(({ kind }) => kind === "verify" || kind === "expr_eq");
    const wrong = graded.filter((record) => verifyRecord(record).correct !== record.expected);
    expect(graded.length).toBeGreaterThan(130);
    expect(wrong.map(({ id }) => id)).toEqual(
      graded.filter((record) => record.reference_bug === true).map(({ id }) => id),
    );
  });

  test("every extraction has the shape Math-Verify's has", () => {
    for (const record of cases.filter(({ kind }) => kind === "parse")) {
      const parsed = verifyRecord(record).parsed ?? [];
      const expected = record.expected;
      if (Array.isArray(expected)) expect(parsed, record.id).toEqual(expected);
      else expect({ first: parsed[0] }, record.id).toEqual(expected);
    }
  });
});

describe("errors inside a comparison", () => {
  // A getter that throws stands for a defect inside the comparison.
  const broken = (raiseOnError: boolean): unknown => {
    const options = { raiseOnError };
    Object.defineProperty(options, "targets", {
      enumerable: true,
      value: { length: 1, includes: () => fail(), find: () => fail() },
    });
    return verify("1", "1", options);
  };
  const fail = (): never => {
    throw new Error("boom");
  };

  test("are an outcome of their own, never a silent zero", () => {
    expect(broken(false)).toMatchObject({ correct: false, outcome: "error", reason: "internal error: boom" });
  });

  test("are thrown on request", () => {
    expect(() => broken(true)).toThrow("boom");
  });
});

describe.skipIf(!hasSharedData)("the verdicts of Math-Verify on benchmark answers", () => {
  interface Pair {
    readonly gold: string;
    readonly prediction: string;
    readonly math_verify: boolean;
  }

  test("agree but for the pairs listed in DISAGREEMENTS.md", () => {
    const pairs = JSON.parse(readShared("math-grading/math-verify-verdicts.json")) as Pair[];
    const listed = readFileSync(new URL("../DISAGREEMENTS.md", import.meta.url), "utf8");
    const different = pairs.filter((pair) => verify(pair.gold, pair.prediction).correct !== pair.math_verify);
    expect(1 - different.length / pairs.length).toBeGreaterThanOrEqual(0.997);
    for (const { gold, prediction } of different) expect(listed).toContain(`gold: ${gold}\npred: ${prediction}\n`);
    expect(listed.match(/^gold: /gm)).toHaveLength(different.length);
  });
});

describe.skipIf(!hasSharedData)("GSM8K model solutions", () => {
  test("are labelled as their authors labelled them", () => {
    const disagreements: string[] = [];
    let solutions = 0;
    for (const line of readShared("gsm8k/example_model_solutions.jsonl").trim().split("\n")) {
      const { question, ground_truth, ...models } = JSON.parse(line) as Record<
        string,
        string | { is_correct: boolean; solution: string }
      >;
      for (const solution of Object.values(models)) {
        if (typeof solution === "string") continue;
        solutions++;
        if (verify(ground_truth as string, solution.solution).correct !== solution.is_correct)
          disagreements.push(question as string);
      }
    }
    expect(solutions).toBe(5276);
    expect(disagreements).toEqual([]);
  });

  test("final answers of the training set verify against their own text", () => {
    for (const line of readShared("gsm8k/train.jsonl").trim().split("\n").slice(0, 500)) {
      const { answer } = JSON.parse(line) as { answer: string };
      const value = answer.split("####")[1]!.trim();
      expect(verify(value, answer).correct, answer).toBe(true);
    }
  });
});

test("options are read in Math-Verify's spelling and in ours", () => {
  expect(
    optionsFromRecord({ match_types: ["latex"], float_rounding: 3, boxed_match_priority: null, api: "x" }),
  ).toEqual({
    targets: ["latex"],
    floatRounding: 3,
  });
  expect(optionsFromRecord({ floatRounding: 2, strict: false })).toEqual({ floatRounding: 2, strict: false });
  expect(
    parse("The answer is A.", optionsFromRecord({ extraction: "string", strings: ["A", "B"], lowercase: false })),
  ).toEqual(["A", "A"]);
});
