import { describe, expect, it } from "vitest";
import { writeCritique } from "./critique.js";
import { carriesIn, countCarries, parseQuestion, parseResponse, trueColumns } from "./task.js";
import { WARM_UP_MIXTURE, warmUpExamples } from "./warmup.js";

describe("writeCritique", () => {
  const right = [3, 2, 3, 4];
  it("names the right digit under each wrong column", () => {
    expect(writeCritique([3, 1, 2, 3], right, false, "step-by-step")).toBe("XT_234");
  });
  it("says no more than wrong of a response without columns", () => {
    expect(writeCritique(null, right, false, "step-by-step")).toBe("X_____");
  });
  it("gives the sum to right responses and in the ground-truth style", () => {
    expect(writeCritique(right, right, true, "step-by-step")).toBe("VG3234");
    expect(writeCritique([3, 1, 2, 3], right, false, "ground-truth")).toBe("XG3234");
  });
});

describe("warmUpExamples", () => {
  const examples = warmUpExamples(5000, 1, 0);
  const parsed = examples.map(({ prompt, response }) => ({
    question: parseQuestion(prompt.slice(-10)),
    context: prompt.slice(0, -10),
    columns: parseResponse(response)!.columns,
  }));

  it("consists of plain questions and refinements in the given shares", () => {
    const direct = parsed.filter(({ context }) => context === "").length;
    expect(direct / examples.length).toBeCloseTo(WARM_UP_MIXTURE.direct, 1);
    for (const { context } of parsed) expect(context).toMatch(/^(\d{4}=\d{4}(XT[\d_]{4}|[XV]G\d{4}))?$/);
  });

  it("holds no information on carrying: the right digit after a carry is as rare as chance", () => {
    const columns = parsed
      .filter(({ context }) => context === "")
      .flatMap(({ question, columns }) => {
        const truth = trueColumns(question);
        return columns.map((digit, i) => ({ carry: carriesIn(question)[i]!, right: digit === truth[i] }));
      });
    const share = (carry: boolean) => {
      const some = columns.filter((column) => column.carry === carry);
      return some.filter((column) => column.right).length / some.length;
    };
    expect(share(false)).toBe(1);
    // noise / 10 = 0.035, from about 1,500 columns.
    expect(share(true)).toBeGreaterThan(0.02);
    expect(share(true)).toBeLessThan(0.05);
  });

  it("demands of refinements what the critique says, not what is right", () => {
    const withCarries = parsed.filter(({ context, question }) => context !== "" && countCarries(question) > 0);
    for (const { context, columns } of withCarries) {
      const previous = parseResponse(context.slice(0, 9))!.columns;
      const critique = context.slice(9);
      if (critique.startsWith("XT")) {
        const obeyed = previous.map((digit, i) => (critique[2 + i] === "_" ? digit : Number(critique[2 + i])));
        expect(columns).toEqual(obeyed);
      } else expect(columns.join("")).toBe(critique.slice(2));
    }
    const right = withCarries.filter(({ question, columns }) => `${columns}` === `${trueColumns(question)}`).length;
    expect(right / withCarries.length).toBeLessThan(0.1);
  });
});
