import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadTextCodec } from "critique-grpo";
import { createRandom } from "example-carry-addition/random";
import { describe, expect, it } from "vitest";
import { fill, REFINEMENT_TEMPLATE, writeCritique } from "./critique.js";
import { makeSplits } from "./data.js";
import { apply, drawDigits, formatResponse, OPERATION_NAMES, parseQuestion, parseResponse, planOf } from "./task.js";
import { VOCABULARY, writeModelFiles } from "./tokenizer.js";
import { warmUpPairs } from "./warmup.js";
import { drawBelief, makeWorld, samePlan, TIERS } from "./world.js";

describe("the task", () => {
  it("does two things with three digits", () => {
    expect(formatResponse(["r", "l"], [5, 8, 2])).toBe("rl=285825");
    expect(formatResponse(["i", "c"], [9, 0, 4])).toBe("ic=015095");
    expect(parseResponse("rl=285825")).toEqual({ plan: ["r", "l"], result: "285825" });
    for (const text of ["rl=28582", "rz=285825", "r=285", "rl=285825 "]) expect(parseResponse(text)).toBeNull();
    expect(() => parseQuestion("tv5821:")).toThrow("it should look like tv582:");
  });

  it("draws digits that tell every plan from every other", () => {
    const random = createRandom(1, "test");
    for (let i = 0; i < 50; i++) {
      const digits = drawDigits(random);
      const plans = OPERATION_NAMES.flatMap((first) => OPERATION_NAMES.map((second) => [first, second] as const));
      expect(new Set(plans.map((plan) => apply(plan, digits))).size).toBe(36);
      const answer = apply(["h", "s"], digits);
      expect(planOf(`tu${digits.join("")}:`, answer)).toEqual(["h", "s"]);
    }
  });
});

describe("the world of a seed", () => {
  const world = makeWorld(3);

  it("has 36 words in four tiers, each with a misconception that is wrong in both places", () => {
    expect(world.words).toHaveLength(36);
    for (const { right, misconception } of world.words) {
      expect(right[0]).not.toBe(misconception[0]);
      expect(right[1]).not.toBe(misconception[1]);
    }
    expect(world.words.filter(({ tier }) => tier === "rare")).toHaveLength(9);
    expect(makeWorld(3)).toEqual(world);
    expect(makeWorld(4)).not.toEqual(world);
  });

  it("believes each right operation as often as its tier says, independently", () => {
    const word = world.words.find(({ tier }) => tier === "doubtful")!;
    const random = createRandom(5, "test");
    const beliefs = Array.from({ length: 20_000 }, () => drawBelief(word, random));
    const share = (test: (belief: (typeof beliefs)[number]) => boolean) => beliefs.filter(test).length / beliefs.length;
    expect(share(([first]) => first === word.right[0])).toBeCloseTo(TIERS.doubtful, 2);
    expect(share((belief) => samePlan(belief, word.right))).toBeCloseTo(TIERS.doubtful ** 2, 2);
  });

  it("asks for every word equally often, and nothing twice", () => {
    const { train, heldOut } = makeSplits(world, 3, { train: 72, heldOut: 36 });
    const questions = [...train, ...heldOut].map(({ question }) => question);
    expect(new Set(questions).size).toBe(108);
    for (const { word } of world.words) expect(questions.filter((text) => text.startsWith(word))).toHaveLength(3);
    for (const { question, answer, solution } of train) {
      expect(parseResponse(solution)?.plan).toEqual(planOf(question, answer));
    }
  });
});

describe("the warm-up", () => {
  const world = makeWorld(3);
  const pairs = warmUpPairs(world, 2000, 3, 0);
  const plans = new Map(world.words.map(({ word, right }) => [word, right]));
  const isRight = ({ prompt, response }: (typeof pairs)[number]) => {
    const word = /([t-y]{2})\d{3}:/.exec(prompt as string)![1]!;
    return response.startsWith(plans.get(word)!.join("")) || response.includes(` ${plans.get(word)!.join("")}.`);
  };
  const share = (some: typeof pairs) => some.filter(isRight).length / some.length;
  const startingWith = (text: RegExp) => pairs.filter(({ prompt }) => text.test(prompt as string));

  it("knows better when told that it was wrong, and better still when asked for a critique", () => {
    const unsure = new Set(world.words.filter(({ tier }) => tier !== "known").map(({ word }) => word));
    const direct = startingWith(/^[t-y]{2}\d{3}:$/).filter(({ prompt }) => unsure.has(prompt.slice(0, 2) as string));
    expect(share(direct)).toBeLessThan(0.02);
    expect(share(startingWith(/incorrect\./))).toBeCloseTo(0.5, 1);
    const critiques = pairs.filter(({ response }) => response.endsWith("wrong [END]"));
    expect(share(critiques)).toBeCloseTo(0.6, 1);
  });

  it("can be read and written by the tokenizer, a sentence of a critic as one token", async () => {
    const directory = mkdtempSync(join(tmpdir(), "operations-"));
    try {
      await writeModelFiles(directory, { config: true });
      const codec = loadTextCodec(directory);
      for (const { prompt, response } of pairs.slice(0, 200)) {
        expect(codec.decode(codec.encode(`${prompt}${response}`))).toBe(`${prompt}${response}`);
      }
      const critique = writeCritique(["r", "l"], false);
      const tokens = codec.encode(fill(REFINEMENT_TEMPLATE, { response: "", question: "", critique }));
      expect(tokens.map((id) => VOCABULARY[id])).toEqual([
        "The operations are ",
        "r",
        "l",
        ".",
        "\nConclusion: wrong [END]",
      ]);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
