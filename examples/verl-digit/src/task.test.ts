import { describe, expect, it } from "vitest";
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
});
