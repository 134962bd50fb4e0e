import { beforeAll, describe, expect, test } from "vitest";
import { checkGold, verify } from "./index.js";
import { benchmarkGolds, hasSharedData } from "./testing/shared.js";

/** A number written plainly, or null. */
function plainNumber(gold: string): number | null {
  const plain = gold.replace(/^\$+|\$+$/g, "").replace(/\^\{?\\circ\}?|\\\$|,\\!\s*|\s+/g, "");
  return /^[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?$/.test(plain) ? Number(plain) : null;
}

describe.skipIf(!hasSharedData)("gold answers of the benchmarks", () => {
  let golds: string[] = [];
  beforeAll(async () => {
    golds = await benchmarkGolds();
  });

  test("can all be verified against", () => {
    expect(golds.length).toBeGreaterThan(1000);
    expect(golds.filter((gold) => !checkGold(gold).verifiable)).toEqual([]);
  });

  test("verify against themselves in a box, in prose and in other spellings", () => {
    const unspaced = (gold: string): string => gold.replace(/\s+(?![a-zA-Z])/g, "").replace(/(?<![a-zA-Z])\s+/g, "");
    const wrong = golds.flatMap((gold) => {
      const bare = gold.replace(/^\$+|\$+$/g, "");
      // Dollars inside the answer end the formula they stand in: such a gold is quoted as it is.
      const quoted = bare.includes("$") ? gold : `$${bare}$`;
      return [
        `\\boxed{${gold}}`,
        `After simplification we get that the final answer is ${quoted}.`,
        `Therefore, the answer is ${gold}.`,
        `\\boxed{${gold.replaceAll("\\frac", "\\dfrac")}}`,
        `\\boxed{${gold.replaceAll("\\frac", "\\tfrac")}}`,
        `\\boxed{${unspaced(gold)}}`,
      ].filter((response) => !verify(gold, response).correct);
    });
    expect(wrong).toEqual([]);
  });

  test("do not verify against another value (6,000 pairs of unequal numbers)", () => {
    const numbers = golds.flatMap((gold) => {
      const value = plainNumber(gold);
      return value === null ? [] : [{ gold, value }];
    });
    let pairs = 0;
    const equal: string[] = [];
    for (let index = 0; pairs < 6_000; index++) {
      const a = numbers[index % numbers.length]!;
      const b = numbers[(index * 37 + 11 + Math.floor(index / numbers.length)) % numbers.length]!;
      if (a.value === b.value) continue;
      pairs++;
      if (verify(a.gold, `\\boxed{${b.gold}}`).correct) equal.push(`${a.gold} | ${b.gold}`);
    }
    expect(equal).toEqual([]);
  });

  test("expressions of different form do not verify against each other by accident", () => {
    const forms = golds.filter((gold) => plainNumber(gold) === null);
    const equal: string[] = [];
    for (let index = 0; index < 2500; index++) {
      const a = forms[index % forms.length]!;
      const b = forms[(index * 101 + 7 + Math.floor(index / forms.length)) % forms.length]!;
      if (a !== b && verify(a, `\\boxed{${b}}`).correct) equal.push(`${a} | ${b}`);
    }
    // Every pair that remains is one value in two spellings.
    expect(equal.filter((pair) => !sameValue(pair))).toEqual([]);
  });
});

/** Pairs of benchmark answers that are the same value, written differently. */
function sameValue(pair: string): boolean {
  const plain = pair.replace(/[\s$]|\\left|\\right|[dt](?=frac)/g, "").replace(/\\frac(\d)(\d)/g, "\\frac{$1}{$2}");
  const [a, b] = plain.split("|");
  return a === b || SAME.has(plain);
}

const SAME = new Set([
  "f(n)=n|f(z)=z",
  "f(z)=z|f(n)=n",
  "\\frac{1}{3}|1/3",
  "1/3|\\frac{1}{3}",
  "-\\frac{3}{2}|-3./2",
  "40_9|36^\\circ",
  "1,-2|(-2,1)",
  "1,-2|-2,1",
  "(-2,1)|-2,1",
  "-2,1|1,-2",
  "2,3,4|2,4,3",
  "2,4,3|2,3,4",
]);
