import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createRandom } from "./random.js";
import {
  believedColumns,
  carriesIn,
  countCarries,
  drawQuestion,
  formatQuestion,
  formatResponse,
  goldAnswer,
  operandColumns,
  parseQuestion,
  parseResponse,
  rewardResponse,
  trueColumns,
} from "./task.js";

const questions = fc.integer({ min: 0, max: 2 ** 31 }).map((seed) => drawQuestion(createRandom(seed, "test")));

describe("the task", () => {
  it("writes 2784 + 1539 units first and its sum in the usual order", () => {
    const question = { first: 2784, second: 1539 };
    expect(formatQuestion(question)).toBe("4872+9351:");
    expect(formatResponse(trueColumns(question))).toBe("3234=4323");
    expect(goldAnswer(question)).toBe("4323");
    expect(carriesIn(question)).toEqual([false, true, true, true]);
  });

  it("reads back what it writes", () => {
    fc.assert(
      fc.property(questions, (question) => {
        expect(parseQuestion(formatQuestion(question))).toEqual(question);
      }),
    );
    expect(() => parseQuestion("12+34:")).toThrow("4872+9351:");
  });

  it("rewards the right sum of a finished response, whatever the columns say", () => {
    fc.assert(
      fc.property(questions, (question) => {
        const right = formatResponse(trueColumns(question));
        expect(rewardResponse(goldAnswer(question), right, true)).toBe(1);
        expect(rewardResponse(goldAnswer(question), right, false)).toBe(0);
        expect(rewardResponse(goldAnswer(question), `0000=${goldAnswer(question)}`, true)).toBe(1);
        expect(rewardResponse(goldAnswer(question), goldAnswer(question), true)).toBe(0);
      }),
    );
    expect(parseResponse("123=4567")).toBeNull();
  });

  it("forgets carries, and only carries, in what the warm-up believes", () => {
    fc.assert(
      fc.property(questions, (question) => {
        const believed = believedColumns(question, 0, createRandom(1, "belief"));
        expect(believed).toEqual(operandColumns(question).map(([a, b]) => (a + b) % 10));
        expect(believed.join("") === trueColumns(question).join("")).toBe(countCarries(question) === 0);
      }),
    );
  });
});
