import type { Node } from "../parse/nodes.js";

const SMALL: Readonly<Record<string, number>> = {
  zero: 0,
  one: 1,
  two: 2,
  three: 3,
  four: 4,
  five: 5,
  six: 6,
  seven: 7,
  eight: 8,
  nine: 9,
  ten: 10,
  eleven: 11,
  twelve: 12,
  thirteen: 13,
  fourteen: 14,
  fifteen: 15,
  sixteen: 16,
  seventeen: 17,
  eighteen: 18,
  nineteen: 19,
  twenty: 20,
  thirty: 30,
  forty: 40,
  fifty: 50,
  sixty: 60,
  seventy: 70,
  eighty: 80,
  ninety: 90,
};
const LARGE: Readonly<Record<string, number>> = { hundred: 100, thousand: 1000, million: 1e6, billion: 1e9 };
const WORDS = [...Object.keys(SMALL), ...Object.keys(LARGE), "and"].sort((a, b) => b.length - a.length);

/** The number a phrase spells ("twenty-one", "onehundredandfive"), or null. */
export function numberFromWords(phrase: string): number | null {
  let rest = phrase.toLowerCase().replace(/[\s-]+/g, "");
  if (rest.length < 3 || rest.length > 80) return null;
  let total = 0;
  let current = 0;
  let last = "";
  while (rest !== "") {
    const word = WORDS.find((candidate) => rest.startsWith(candidate));
    if (word === undefined) return null;
    rest = rest.slice(word.length);
    if (word === "and") {
      if (last === "" || rest === "") return null;
    } else if (SMALL[word] !== undefined) {
      if (
        current % 10 !== 0 ||
        (current % 100 !== 0 && SMALL[word] >= 10) ||
        (SMALL[last] !== undefined && SMALL[last] < 20)
      )
        return null;
      current += SMALL[word];
    } else if (word === "hundred") {
      if (current === 0 || current > 9) return null;
      current *= 100;
    } else {
      if (current === 0) return null;
      total += current * LARGE[word]!;
      current = 0;
    }
    last = word;
  }
  return last === "" ? null : total + current;
}

const NO_SOLUTION =
  /^(?:(?:there(?:is|are))?no(?:real|integer|such)?(?:solutions?|values?|roots?)(?:exists?)?|emptyset|theemptyset)$/;
const PHRASE = /^[a-zA-Z][a-zA-Z\s,.'-]*$/;
const ALL_REALS = /^(?:allreals?(?:numbers)?|(?:the)?(?:set\s*of)?(?:all)?realnumbers|everyrealnumber)$/;

/** A phrase with a mathematical meaning as what it means: a number, the empty set, all real numbers. */
export function meaningOfPhrase(phrase: string): Node | null {
  if (phrase.length < 3 || !PHRASE.test(phrase)) return null;
  const plain = phrase.toLowerCase().replace(/[^a-z]+/g, "");
  if (NO_SOLUTION.test(plain)) return { kind: "set", items: [] };
  if (ALL_REALS.test(plain)) return { kind: "namedSet", name: "R" };
  if (/[^a-zA-Z\s,.-]/.test(phrase)) return null;
  const value = numberFromWords(phrase);
  if (value === null) return null;
  return { kind: "number", value: { numerator: BigInt(value), denominator: 1n }, decimal: false, text: String(value) };
}
