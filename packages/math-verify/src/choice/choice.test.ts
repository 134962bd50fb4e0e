import { describe, expect, test } from "vitest";
import { extractChoice, gradeChoice, gradeGpqa, gradeMmluPro } from "./choice.js";

describe("the letter a response chooses", () => {
  test.each([
    ["ANSWER: B", "B"],
    ["Some thought.\nANSWER: $B$", "B"],
    ["The answer is (C).", "C"],
    ["the correct answer is **D**", "D"],
    ["Therefore, the answer is \\boxed{A}", "A"],
    ["\\boxed{\\text{(B)}}", "B"],
    ["\\boxed{B) 10^{-11} eV}", "B"],
    ["I choose option C because it is larger.", "C"],
    ["First I thought the answer is A, but the answer is B.", "B"],
    ["A is wrong, so is B.\n\nD", "D"],
    ["It must be (A) after all", "A"],
    ["Answer: A", "A"],
    ["answer: c", "C"],
  ])("%j is %s", (response, letter) => {
    expect(extractChoice(response)).toBe(letter);
  });

  test.each(["I am not sure.", "The answer is A large number of things.", "", "It depends."])(
    "none in %j",
    (response) => {
      expect(extractChoice(response)).toBeNull();
    },
  );

  test("letters beyond the options are none", () => {
    expect(extractChoice("The answer is (J).")).toBeNull();
    expect(extractChoice("The answer is (J).", { letters: "ABCDEFGHIJ" })).toBe("J");
  });

  test("a response may state the text of an option", () => {
    const choices = ["10^{-4} eV", "10^{-11} eV", "10^{-8} eV", "10^{-9} eV"];
    expect(extractChoice("so \\boxed{10^{-8} eV}", { choices })).toBe("C");
    expect(extractChoice("so \\boxed{10^{-7} eV}", { choices })).toBeNull();
  });
});

describe("grading", () => {
  test("by letter", () => {
    expect(gradeGpqa("A", "ANSWER: A")).toMatchObject({
      correct: true,
      outcome: "correct",
      gold: "A",
      prediction: "A",
    });
    expect(gradeGpqa("A", "ANSWER: B").outcome).toBe("incorrect");
    expect(gradeMmluPro("(I)", "The answer is (I).").correct).toBe(true);
  });

  test("a gold that is no option is unverifiable", () => {
    expect(gradeGpqa("E", "ANSWER: A").outcome).toBe("unverifiable");
    expect(gradeChoice("tea", "ANSWER: B", { choices: ["coffee", "tea", "milk", "water"] }).correct).toBe(true);
  });

  test("a response without a choice is incorrect and says so", () => {
    expect(gradeGpqa("A", "no idea")).toMatchObject({
      outcome: "incorrect",
      reason: "no choice found in the response",
    });
  });
});
