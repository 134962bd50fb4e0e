import { describe, expect, it } from "vitest";
import { balancedNextTokens, nextNumbers } from "./next-tokens.js";
import reward from "./reward.js";
import { expectedAnswer, expectedTokens } from "./task.js";

describe("digit completion", () => {
  it("continues with constant difference modulo M", () => {
    expect(expectedAnswer("8,3:9,4")).toBe("7,2,6,1");
    expect(expectedAnswer("1,1:9,2")).toBe("1,1");
    expect(expectedAnswer("3,1:5,0")).toBe("");
    expect(expectedTokens("1,1:9,2")).toEqual([5, 14, 5, 1]);
    expect(() => expectedAnswer("1,1")).toThrow("not a prompt of this task");
  });

  it("rewards the correct prefix, the end token included", () => {
    const score = (tokens: number[]) =>
      reward(
        {
          question: { id: "", dataSource: "", text: "1,1:9,2", prompt: "", gold: "", metadata: {} },
          text: "",
          tokens,
          stopReason: "stop",
        },
        {},
      );
    expect(score([5, 14, 5, 1])).toBe(1);
    expect(score([5, 14, 5, 14, 1])).toBe(0.75);
    expect(score([5, 6])).toBe(0.25);
    expect(score([])).toBe(0);
    // A special token in between is an error, though the text would not show it.
    expect(score([5, 0, 14, 5, 1])).toBe(0.25);
  });

  it("asks for the next number once two have been given, and for any next token in a balance", () => {
    expect(nextNumbers(["8,3:9,4"])).toMatchObject([
      { prompt: "8,3:9,4S7,2,", answer: "6" },
      { prompt: "8,3:9,4S7,2,6,", answer: "1" },
    ]);
    const asked = balancedNextTokens(["8,3:9,4", "3,1:5,0"]);
    const count = (prompt: string) => asked.filter((question) => question.prompt === prompt).length;
    expect(count("8,3:9,4S")).toBe(2);
    expect(count("8,3:9,4S7,")).toBe(1);
    expect(count("8,3:9,4S7,2,6,1")).toBe(2);
    expect(count("3,1:5,0S")).toBe(2);
    expect(asked.filter(({ answer }) => answer === ",")).toHaveLength(2);
  });
});
