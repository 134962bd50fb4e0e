import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Cell, cellConfig, cellHash, cellName, parseCellName, readResult, resultFile } from "./cell.js";
import { families } from "./families/index.js";
import type { Family } from "./family.js";
import { writeJson } from "./json-file.js";
import { methodNamed } from "./methods.js";
import { parseOptions } from "./options.js";
import { seedsOf, studyCells } from "./plan.js";
import { runCell } from "./run-cell.js";
import { prepareGround } from "./seed-ground.js";

/** The real family, cut down to a second: nothing is learnt, everything is done. */
const tiny: Family = {
  ...families.operations,
  sizes: { train: 36, heldOut: 36 },
  warmUp: { ...families.operations.warmUp, steps: 3, extensionSteps: 1, maxExtensions: 0 },
};
const cell: Cell = { family: tiny, method: methodNamed("critique-grpo-self"), seed: 7 };

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "study-"));
});
afterAll(() => rmSync(root, { recursive: true }));

describe("the plan", () => {
  const cells = studyCells();

  it("has every method on every seed, main methods first, and each cell once", () => {
    const names = cells.map(cellName);
    expect(new Set(names).size).toBe(names.length);
    expect(names.filter((name) => name.includes("/luffy/"))).toHaveLength(
      seedsOf("carry-addition").length + seedsOf("operations").length,
    );
    expect(names.indexOf("operations/grpo/105")).toBeLessThan(names.indexOf("operations/luffy/101"));
    for (const name of names) expect(cellName(parseCellName(name))).toBe(name);
  });

  it("has configurations that are valid, each with settings of its own", () => {
    const first = cells.filter(({ seed }) => seed === seedsOf("operations")[0]);
    const settings = first.map((one) => {
      const { engine: _engine, data: _data, evaluation: _evaluation, ...config } = cellConfig(one, root, true);
      return `${one.family.name} ${JSON.stringify({ ...config, preset: undefined })}`;
    });
    expect(new Set(settings).size).toBe(first.length);
  });

  it("has a hash for each cell that changes with what the result follows from", () => {
    const hash = cellHash(cell);
    expect(cellHash({ ...cell })).toBe(hash);
    expect(cellHash({ ...cell, seed: 8 })).not.toBe(hash);
    expect(cellHash({ ...cell, method: methodNamed("k2") })).not.toBe(hash);
    expect(cellHash({ ...cell, family: { ...tiny, steps: tiny.steps + 1 } })).not.toBe(hash);
  });

  it("refuses names of cells that are none", () => {
    expect(() => parseCellName("operations/dr-grpo")).toThrow("operations/dr-grpo/101");
    expect(() => parseCellName("operations/dr-grp/101")).toThrow('no method is called "dr-grp"');
    expect(() => parseOptions(["--jobs", "0"])).toThrow("at least 1");
    expect(() => parseOptions(["--quick", "--report"])).toThrow("do not go together");
  });
});

describe("a cell", () => {
  it("gives the same numbers and weights when it is run again, and is found by its hash", async () => {
    const twoSteps = {
      ...cell,
      method: { ...cell.method, overrides: () => ["steps=2", "questionsPerStep=4", "evaluation.every=1"] },
    };
    const results = [];
    for (const name of ["one", "two"]) {
      const directory = join(root, name);
      const ground = await prepareGround(directory, tiny, cell.seed);
      expect(await prepareGround(directory, tiny, cell.seed)).toEqual(JSON.parse(JSON.stringify(ground)));
      results.push(await runCell(twoSteps, ground, directory));
    }
    const numbers = results.map(({ training: { cpuSeconds: _cpu, wallSeconds: _wall, ...training }, ...rest }) =>
      JSON.parse(JSON.stringify({ ...rest, training })),
    );
    expect(numbers[1]).toEqual(numbers[0]);
    expect(results[0]!.curve.map(({ step }) => step)).toEqual([0, 1, 2]);
    expect(results[0]!.training.sampledTokens).toBeGreaterThan(100);
    expect(Object.keys(results[0]!.after.refinement)).toEqual(["simple", "simple_gt", "text", "self"]);

    await writeJson(resultFile(root, twoSteps), results[0]);
    expect((await readResult(root, twoSteps))?.weights).toBe(results[0]!.weights);
    expect(await readResult(root, { ...twoSteps, family: { ...tiny, steps: 99 } })).toBeNull();
  }, 300_000);
});
