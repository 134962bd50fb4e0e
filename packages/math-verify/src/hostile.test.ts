import { describe, expect, test } from "vitest";
import { extractChoice, parse, verify } from "./index.js";

/** Inputs made to be expensive: each pattern at several sizes, and combined with each other. */
function hostileInputs(): string[] {
  const repeated = [
    "\\boxed{1} text ",
    "\\boxed{",
    "{",
    "}",
    "(",
    ")",
    "[",
    " [",
    "\\[ ",
    "\\( ",
    "\\]",
    "$",
    "$x ",
    "$$",
    "$\n",
    "$1$ and ",
    "\\",
    "\\\\",
    "answer ",
    "answer: $",
    "final answer is ",
    "answer is (",
    "ANSWER: A ",
    "#### 5\n",
    "A: 7\n",
    " ",
    "\n",
    "\t",
    "\0",
    "\u0007",
    "\ud800",
    "😀",
    "−",
    "½",
    "²",
    "-",
    "+",
    "=",
    "<",
    "!",
    "^",
    "_",
    "%",
    "5%",
    "5.",
    ".",
    ",",
    "1,",
    "1,234,",
    "1 234 ",
    "1+",
    "1+2*3/4-5(6)",
    "a",
    "x_",
    "2^",
    "x=",
    "1<",
    "|",
    "\\left|",
    "\\frac{1}{2} ",
    "\\frac13",
    "\\frac",
    "\\sqrt",
    "\\sqrt{",
    "\\text{",
    "\\text{and} ",
    "\\begin{align}",
    "\\begin{pmatrix}1&2\\\\",
    "\\end{align}",
    "\\pm 1",
    "(1,2)\\cup ",
    "\\{",
    "\\}",
    "\\sum_{k=1}^{9}",
    "\\binom{9}{",
    "\\log_",
    "\\sin ",
    "where ",
    "one hundred ",
    "and ",
    "e",
    "1e9 ",
    "9!",
    "\\circ",
    "F_{n-1}",
    "{,}",
    "'",
    '"',
    "*",
    "**",
    ":",
    ";",
  ];
  const inputs = repeated.flatMap((piece) =>
    [7, 900, 20_000].map((count) => piece.repeat(Math.min(count, Math.floor(1_000_000 / piece.length)))),
  );
  for (const piece of repeated) {
    inputs.push(
      `\\boxed{${piece.repeat(Math.floor(7000 / piece.length))}}`,
      `$${piece.repeat(300)}$`,
      `The final answer is ${piece.repeat(200)}. I hope it is correct.`,
    );
    inputs.push(`\\boxed{x${piece.repeat(40)}}`, `\\boxed{${piece}1${piece}}`, `${piece}\\boxed{2}${piece}`);
  }
  const nested = [
    "\\frac{1}{",
    "\\sqrt{",
    "9^{",
    "F_{",
    "(",
    "\\left(",
    "\\boxed{",
    "\\text{",
    "\\{",
    "|",
    "\\sin(",
    "-(",
    "\\binom{9}{",
  ];
  for (const open of nested) {
    for (const depth of [3, 40, 130, 900])
      inputs.push(
        `\\boxed{${open.repeat(depth)}2${(open.endsWith("(") ? ")" : open === "|" ? "|" : "}").repeat(depth)}}`,
      );
  }
  inputs.push(
    "1234567890".repeat(100_000),
    "\\boxed{1} ".repeat(100_000),
    `${"x ".repeat(500_000)}\\boxed{5}`,
    "9^9^9^9^9^9^9",
    "\\boxed{99999999!}",
    "\\boxed{((((9!)!)!)!)!}",
    "\\boxed{9000!}",
    "\\boxed{\\sum_{k=1}^{1000000000} k}",
    `\\boxed{${"\\sum_{k=1}^{400}".repeat(6)} k}`,
    "\\boxed{\\prod_{k=1}^{2000} k!}",
    "\\boxed{\\sum_{k=1}^{2000}\\frac{1}{k!}}",
    "\\boxed{2^{100000000}}",
    "\\boxed{3^{80000}}",
    "\\boxed{1e999999}",
    "\\boxed{1e-999999}",
    "\\boxed{\\binom{100000}{50000}}",
    `\\boxed{${Array.from({ length: 1500 }, (_, i) => i).join(",")}}`,
    "\\boxed{\\gcd(3^{20000},5^{20000})}",
    `\\boxed{\\sqrt[64]{${"7".repeat(1200)}}}`,
    `\\boxed{1${"0".repeat(7000)}}`,
    "\\boxed{(1+\\frac{1}{100000})^{100000}}",
    "\\boxed{\\log_{1.0000001} 5}",
    `\\boxed{${"abcdfghjklmnopqrstuvwxyz".split("").join("+")}}`,
    Array.from({ length: 100_000 }, (_, i) => String.fromCharCode(i % 32)).join(""),
  );
  const fragments = [
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
    "\\left",
    "&",
    "\\\\",
    "!",
    "%",
    "\\infty",
    "\\{",
    "|",
    "\\in",
    "\\text{a}",
    ":",
    "0",
  ];
  let seed = 12345;
  const random = (bound: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % bound;
  };
  for (let index = 0; index < 400; index++) {
    inputs.push(
      `\\boxed{${Array.from({ length: 3 + random(40) }, () => fragments[random(fragments.length)]).join("")}}`,
    );
  }
  return inputs;
}

describe("hostile input", () => {
  test("a corpus of more than 1,000 is answered without a crash, each within a second", { timeout: 300_000 }, () => {
    const inputs = hostileInputs();
    expect(inputs.length).toBeGreaterThan(1000);
    const slow: string[] = [];
    const failed: string[] = [];
    for (const input of inputs) {
      const start = process.cpuUsage();
      const verdict = verify("\\boxed{x^2+1}", input);
      const spent = process.cpuUsage(start);
      if (verdict.outcome === "error") failed.push(`${verdict.reason}: ${input.slice(0, 60)}`);
      // Processor time, so that other work on the machine does not count.
      if (spent.user > 1_000_000) slow.push(`${spent.user / 1000} ms: ${input.slice(0, 60)}`);
    }
    expect(failed).toEqual([]);
    expect(slow).toEqual([]);
    expect(process.memoryUsage().heapUsed).toBeLessThan(1_000_000_000);
  });

  test("as gold and as a multiple-choice response it does no more harm", { timeout: 300_000 }, () => {
    for (const input of hostileInputs().filter((_, index) => index % 11 === 0)) {
      const start = process.cpuUsage();
      expect(verify(input, "\\boxed{5}").outcome).not.toBe("error");
      extractChoice(input);
      parse(input, { targets: ["expr"] });
      expect(process.cpuUsage(start).user, input.slice(0, 60)).toBeLessThan(3_000_000);
    }
  });

  test("a box is found however long the text before and after it", () => {
    const filler = "Let us think about it. ".repeat(40_000);
    expect(verify("42", `${filler}\\boxed{42}`).correct).toBe(true);
    expect(verify("42", `\\boxed{42}${filler}`).correct).toBe(true);
  });
});
