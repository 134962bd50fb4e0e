import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkGold, compareAnswers, extract, parse, parseAnswer, verify } from "./index.js";

/** Whether two answers, each in math delimiters, are equal. */
const same = (gold: string, prediction: string): boolean => verify(`$${gold}$`, `$${prediction}$`).correct;

describe("answers that are equal", () => {
  test.each([
    ["numbers", "1234567", "1{,}234{,}567"],
    ["numbers", "1234567", "1\\,234\\,567"],
    ["numbers", "10080", "10,\\!080"],
    ["numbers", "3.5", "3{,}5"],
    ["numbers", "1234.56", "1.234,56"],
    ["numbers", "3 \\frac{1}{2}", "\\frac{7}{2}"],
    ["numbers", "-1\\frac12", "-1.5"],
    ["scientific notation", "1.5e-7", "1.5\\times10^{-7}"],
    ["scientific notation", "1.5e-7", "1.5\\cdot 10^{-7}"],
    ["scientific notation", "1.5e-7", "1.5\\mathrm{e}{-7}"],
    ["scientific notation", "1.5e-7", "0.00000015"],
    ["scientific notation", "7.26e6", "7260000"],
    ["bases", "204_5", "204_{5}"],
    ["bases", "204_5", "54"],
    ["percent", "28\\%", "28"],
    ["percent", "28\\%", "0.28"],
    ["percent", "28.5\\%", "28.5"],
    ["ratios", "3:4", "6:8"],
    ["ratios", "3:4", "\\frac34"],
    ["clock times", "12:00", "12:00"],
    ["words", "\\text{twenty-one}", "21"],
    ["fractions", "\\frac13", "\\dfrac{1}{3}"],
    ["fractions", "\\frac{1}{3}", "2/6"],
    ["roots", "\\frac{1}{\\sqrt{2}}", "\\frac{\\sqrt2}{2}"],
    ["roots", "\\sqrt[3]{-8}", "-2"],
    ["roots", "\\sqrt{12}", "2\\sqrt{3}"],
    ["irrational", "\\sin\\frac{\\pi}{6}", "\\frac12"],
    ["irrational", "e^{i\\pi}", "-1"],
    ["logarithms", "\\log_2 8", "3"],
    ["logarithms", "\\log 100", "2"],
    ["logarithms", "\\log x", "\\ln x"],
    ["symbolic", "(a+b)^2", "a^2+2ab+b^2"],
    ["symbolic", "\\tan^2 y+1", "\\sec^2 y"],
    ["symbolic", "\\frac{n!}{(n-2)!}", "n(n-1)"],
    ["symbolic", "\\binom{n}{2}", "\\frac{n(n-1)}{2}"],
    ["symbolic", "\\sum_{k=1}^{n} k", "\\frac{n(n+1)}{2}"],
    ["symbolic", "\\sum_{k=1}^{10} k^2", "385"],
    ["symbolic", "\\sqrt{ab}", "\\sqrt a\\sqrt b"],
    ["plus-minus", "1\\pm\\sqrt{19}", "1+\\sqrt{19},1-\\sqrt{19}"],
    ["plus-minus", "\\pm 2021", "\\{-2021,2021\\}"],
    ["complex", "6-5i", "-5i+6"],
    ["complex", "\\frac{1}{i}", "-i"],
    ["intervals", "(-\\infty,0]\\cup[2,3)", "[2,3)\\cup(-\\infty,0]"],
    ["intervals", "(0,1)\\cup(1,2)", "(0,2)\\setminus\\{1\\}"],
    ["intervals", "\\mathbb{R}", "(-\\infty,\\infty)"],
    ["sets", "\\{1,2,3\\}", "\\{3,1,2\\}"],
    ["sets", "\\emptyset", "\\{\\}"],
    ["sets", "\\emptyset", "\\text{no solution}"],
    ["tuples", "(1,\\frac92)", "\\left(1,4.5\\right)"],
    ["lists", "1,2,3", "3,1\\text{ and }2"],
    ["matrices", "\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", "\\begin{bmatrix}1&2\\\\3&4\\end{bmatrix}"],
    ["matrices", "\\begin{pmatrix}2&4\\end{pmatrix}", "2\\begin{pmatrix}1&2\\end{pmatrix}"],
    ["equations", "2x+4y-3=0", "y=-\\frac12x+\\frac34"],
    ["equations", "x^2/4+y^2/3=1", "3x^2+4y^2=12"],
    ["assignments", "5", "x=5"],
    ["assignments", "x=5", "5"],
    ["assignments", "x=5", "x=2+3=5"],
    ["assignments", "f(x)=x+1", "f(t)=t+1"],
    ["assignments", "(x,y)=(3,2)", "(3,2)"],
    ["inequalities", "x<1", "1>x"],
    ["inequalities", "x<1", "-x>-1"],
    ["inequalities", "-2\\le x\\le 7", "[-2,7]"],
    ["inequalities", "1\\le|z|\\le\\frac32", "[-\\frac32,-1]\\cup[1,\\frac32]"],
    ["inequalities", "x>2\\text{ or }x<-1", "(-\\infty,-1)\\cup(2,\\infty)"],
    ["units", "15\\mbox{ cm}^2", "15"],
    ["units", "5\\text{ m}", "5"],
    ["units", "60\\text{ km/h}", "60"],
    ["units", "\\$32", "32"],
    ["degrees", "90^\\circ", "90"],
    ["degrees", "\\sin 30^\\circ", "\\frac12"],
    ["text", "\\text{Evelyn}", "\\text{evelyn}"],
    ["text", "\\text{(C)}", "C"],
  ])("%s: %s is %s", (_, gold, prediction) => {
    expect(same(gold, prediction)).toBe(true);
  });
});

describe("answers that differ", () => {
  test.each([
    ["signs", "5", "-5"],
    ["signs", "(3,2)", "-(3,2)"],
    ["subscripts", "E_1+2E_2", "E_1+2E_3"],
    ["subscripts", "x_1", "x_2"],
    ["bases", "4210_5", "4210_7"],
    ["bases", "204_5", "204"],
    ["tiny numbers", "1.325e-27", "1.325e-28"],
    ["tiny numbers", "0.000000001", "0"],
    ["tiny numbers", "2e-9", "1e-9"],
    ["tiny numbers", "\\frac{1}{2004!}", "\\frac{1}{2006!}"],
    ["tiny numbers", "\\frac{1}{2^{99}}", "\\frac{1}{2^{98}}"],
    ["decimals", "\\frac13", "0.33"],
    ["percent", "0.28", "28"],
    ["symbolic", "\\sqrt{x^2}", "x"],
    ["symbolic", "x+2n+1", "x+1"],
    ["letters are not units", "5m", "5"],
    ["letters are not units", "1-\\frac{1}{\\mathrm{e}}", "1+\\frac{1}{\\mathrm{e}}"],
    ["degrees are a unit", "90^\\circ", "\\frac\\pi2"],
    ["plus-minus", "\\pm 2021", "2021"],
    ["intervals", "[0,1)", "(0,1)"],
    ["tuples", "(3,1)", "(1,3)"],
    ["assignments", "x=1", "y=1"],
    ["assignments", "AB=4,CD=5", "5,4"],
    ["equations", "7=11a+c", "11a+c"],
    ["equations", "\\frac{dx}{dt}=kx-a", "-\\frac{dx}{dt}=kx-a"],
    ["inequalities", "x>5", "x\\ge 5"],
    ["relations answer sets only on request", "x\\in[-2,7]", "-2\\le x\\le 7"],
    ["clock times", "12:00", "1:00"],
    ["clock times", "9\\text{ a.m.}", "9\\text{ p.m.}"],
    ["text", "\\text{east}", "\\text{west}"],
    ["text", "d", "\\text{E}"],
    ["matrices", "\\begin{pmatrix}1&2\\end{pmatrix}", "\\begin{pmatrix}2&1\\end{pmatrix}"],
  ])("%s: %s is not %s", (_, gold, prediction) => {
    expect(same(gold, prediction)).toBe(false);
  });
});

describe("extraction", () => {
  test.each([
    ["the last box", "First \\boxed{1} is wrong. After thinking more the result is \\boxed{2}.", "2"],
    ["a box that corrects the one before", "So \\boxed{2}, no, wait, it is $\\boxed{4}$", "4"],
    ["connected boxes", "\\boxed{1} and \\boxed{2}", "1,2"],
    ["nested braces", "\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"],
    ["fbox", "so \\fbox{7}", "7"],
    ["final answer over plain numbers", "The final answer is 5. I checked 12 cases.", "5"],
    ["a formula", "hence $x$ is $3\\pi$.", "3\\pi"],
    ["GSM8K's mark", "3 + 4 = 7\n#### 7", "7"],
    ["a number in prose", "so the number is 10 which is 1,000.99m²", "1,000.99"],
  ])("finds %s", (_, response, answer) => {
    expect(extract(response)).toBe(answer);
  });

  test("nothing is found in prose", () => {
    expect(extract("I do not know what to do here.")).toBeNull();
    expect(parse("I do not know what to do here.")).toEqual([]);
  });

  test("precedence, anchors and fallback follow the options", () => {
    const text = "final answer is $9999$, \\boxed{1}";
    expect(extract(text, { boxedPriority: 100 })).toBe("9999");
    expect(extract(text, { boxedPriority: 0 })).toBe("1");
    expect(parse("\\boxed{1}", { boxedPriority: -1, targets: ["latex"] })).toEqual([]);
    expect(parse("so $7$ it is", { withoutAnchor: false })).toEqual([]);
    expect(parse("$7$", { fallbackMode: "no_fallback" })).toHaveLength(1);
  });
});

describe("options", () => {
  test("floatRounding decides how far a decimal must agree", () => {
    expect(verify("$\\frac13$", "0.333", { floatRounding: 3 }).correct).toBe(true);
    expect(verify("$\\frac13$", "0.333", { floatRounding: 4 }).correct).toBe(false);
  });

  test("strict keeps variables apart", () => {
    expect(verify("$f(x)$", "$f(y)$").correct).toBe(false);
    expect(verify("$f(x)$", "$f(y)$", { strict: false }).correct).toBe(true);
  });

  test("allowSetRelationComparison lets a relation answer a set", () => {
    expect(verify("$x\\in[-2,7]$", "$-2\\le x\\le 7$", { allowSetRelationComparison: true }).correct).toBe(true);
  });

  test("values that cannot be meant are refused", () => {
    expect(() => verify("1", "1", { floatRounding: -1 })).toThrow(/floatRounding/);
    expect(() => verify("1", "1", { targets: [] })).toThrow(/targets/);
  });
});

describe("the third outcome", () => {
  test.each(["", "   ", "\\boxed{}", "\\boxed{\\frac{1}{}", "$\\frac{$"])("gold %j is unverifiable", (gold) => {
    expect(verify(gold, "\\boxed{5}").outcome).toBe("unverifiable");
    expect(checkGold(gold).verifiable).toBe(false);
  });

  test("a missing prediction is incorrect and says so", () => {
    expect(verify("5", "no idea at all, sorry about that")).toMatchObject({
      outcome: "incorrect",
      reason: "no answer found in the prediction",
    });
  });

  test("parsed answers compare without extraction", () => {
    expect(compareAnswers(parseAnswer("1/2"), parseAnswer("0.5")).correct).toBe(true);
    expect(compareAnswers(parseAnswer("\\frac{"), parseAnswer("0.5")).outcome).toBe("unverifiable");
  });
});

describe("properties", () => {
  const integer = fc.integer({ min: -9999, max: 9999 });
  const positive = fc.integer({ min: 1, max: 999 });

  test("a rational number keeps its value in every spelling", () => {
    fc.assert(
      fc.property(integer, positive, fc.integer({ min: 2, max: 9 }), (n, d, k) => {
        const gold = `\\frac{${n}}{${d}}`;
        for (const spelling of [
          `${n}/${d}`,
          `\\dfrac{${n * k}}{${d * k}}`,
          `-\\frac{${-n}}{${d}}`,
          `x=\\frac{${n}}{${d}}`,
          `\\left(\\frac{${n}}{${d}}\\right)`,
          `${n}\\cdot\\frac{1}{${d}}`,
        ]) {
          expect(same(gold, spelling), spelling).toBe(true);
        }
      }),
    );
  });

  test("a perturbed number differs, in both directions", () => {
    fc.assert(
      fc.property(integer, positive, fc.integer({ min: 1, max: 50 }), (n, d, delta) => {
        expect(same(`\\frac{${n}}{${d}}`, `\\frac{${n + delta}}{${d}}`)).toBe(false);
        expect(same(`\\frac{${n + delta}}{${d}}`, `\\frac{${n}}{${d}}`)).toBe(false);
      }),
    );
  });

  test("polynomials are equal however they are written, and differ by any term", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), integer, integer, (a, b, c) => {
        const gold = `${a}x^2+${b}x+${c}`.replaceAll("+-", "-");
        expect(same(gold, `${c}+x(${b}+${a}x)`.replaceAll("+-", "-"))).toBe(true);
        expect(same(gold, `${c + 1}+x(${b}+${a}x)`.replaceAll("+-", "-"))).toBe(false);
      }),
    );
  });

  test("lists and sets do not depend on order, tuples do", () => {
    fc.assert(
      fc.property(fc.uniqueArray(integer, { minLength: 3, maxLength: 6 }), (items) => {
        const reversed = [...items].reverse();
        expect(same(`\\{${items.join(", ")}\\}`, `\\{${reversed.join(", ")}\\}`)).toBe(true);
        expect(same(items.join(", "), reversed.join(", "))).toBe(true);
        expect(same(`(${items.join(", ")})`, `(${reversed.join(", ")})`)).toBe(false);
      }),
    );
  });

  test("comparison of values is symmetric", () => {
    const value = fc.oneof(
      integer.map(String),
      fc.tuple(integer, positive).map(([n, d]) => `\\frac{${n}}{${d}}`),
      positive.map((n) => `\\sqrt{${n}}`),
      fc.tuple(integer, positive).map(([n, d]) => `${n}.${d}`),
      positive.map((n) => `${n}\\pi`),
    );
    fc.assert(
      fc.property(value, value, (a, b) => {
        expect(same(a, b)).toBe(same(b, a));
      }),
      { numRuns: 300 },
    );
  });

  test("no text throws, and a verdict is the same every time", () => {
    const piece = fc.constantFrom(
      "\\frac",
      "{",
      "}",
      "1",
      "x",
      "^",
      "_",
      "\\boxed{",
      "$",
      "(",
      "]",
      ",",
      "\\pm",
      "=",
      "<",
      "\\cup",
      "\\sqrt",
      "&",
      "!",
      "%",
      "\\infty",
      "|",
      "\\in",
      "\\text{a}",
      ":",
      " ",
    );
    const text = fc.oneof(
      fc.string({ maxLength: 60 }),
      fc.array(piece, { maxLength: 30 }).map((pieces) => pieces.join("")),
    );
    fc.assert(
      fc.property(text, text, (gold, prediction) => {
        const verdict = verify(gold, prediction);
        expect(verdict.outcome).not.toBe("error");
        expect(verify(gold, prediction)).toEqual(verdict);
      }),
      { numRuns: 400 },
    );
  });
});
