import { describe, expect, it } from "vitest";
import { splitMath } from "./split-math.js";

const formulas = (text: string) =>
  splitMath(text).flatMap((part) => (part.kind === "math" ? [`${part.display ? "display " : ""}${part.source}`] : []));
const whole = (text: string) =>
  splitMath(text)
    .map((part) => (part.kind === "text" ? part.text : "#"))
    .join("");

describe("formulas in a text", () => {
  it.each([
    ["Let $x^2 = 4$, so $x = 2$.", ["x^2 = 4", "x = 2"]],
    ["\\(a+b\\) and \\[c\\]", ["a+b", "display c"]],
    ["$$\\frac{1}{2}$$", ["display \\frac{1}{2}"]],
    ["The answer is \\boxed{\\frac{3}{4}}.", ["\\boxed{\\frac{3}{4}}"]],
  ])("are found in %s", (text, expected) => expect(formulas(text)).toEqual(expected));

  it.each([
    "It costs $5 and $6.",
    "between $5 and $10",
    "a $ b $ c",
    "cut off: $x^2 =",
    "cut off: \\boxed{\\frac{1}{2}",
    "a line $x\ny$ apart",
    "no \\alpha without delimiters",
    "$$",
  ])("are not seen in %s", (text) => {
    expect(formulas(text)).toEqual([]);
    expect(whole(text)).toBe(text);
  });

  it("leave the text around them as it is", () => expect(whole("a $x$  b\n\\(y\\)c")).toBe("a #  b\n#c"));
});
