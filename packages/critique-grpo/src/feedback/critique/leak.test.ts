import { describe, expect, it } from "vitest";
import { statesGold } from "./leak.js";

const question = "What is $12 \\cdot 7$ divided by 168?";
const response = "12 · 7 = 84, so it is 168 / 84 = 2.";

describe("a leak of the gold answer", () => {
  it.each([
    ["\\frac{1}{2}", "You divided the wrong way round: it is 84/168 = 0.5.", true],
    ["\\frac{1}{2}", "The quotient is $\\dfrac{1}{2}$.", true],
    ["\\frac{1}{2}", "The right answer is \\boxed{\\frac12}.", true],
    ["1/2", "Division is turned round: divide the product by 168.", false],
    ["42", "It should be 42.", true],
    ["42", "It should be 420 or 142 or 4.2, not x42y.", false],
    // Student and question said it before.
    ["84", "12 · 7 = 84 is right.", false],
    ["2", "2 is wrong.", false],
    ["Mount Everest", "The highest is Mount  everest.", true],
    ["Mount Everest", "Think of the Himalaya.", false],
    ["(B)", "The answer is B.", true],
    ["", "Anything.", false],
  ])("%j in %j: %s", (gold, critique, leak) => expect(statesGold(gold, critique, [question, response])).toBe(leak));

  it("is found in bounded time", () => {
    const start = performance.now();
    for (const piece of ["\\boxed{", "$", "1,", "1.1.", "{", "\\(", "= ", "12/", "-"]) {
      statesGold("\\frac{1}{2}", piece.repeat(20_000), []);
    }
    expect(performance.now() - start).toBeLessThan(2000);
  });
});
