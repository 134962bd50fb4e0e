import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { InputError } from "./errors.js";
import { loadUserFunction } from "./user-module.js";

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "user-module-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

function load(name: string, source: string | null, names: string[] = ["reward"]) {
  const file = join(directory, name);
  if (source !== null) writeFileSync(file, source);
  return loadUserFunction({ file, names, purpose: "reward", example: "export default defineReward(…)" });
}

describe("loadUserFunction", () => {
  it("loads TypeScript that imports critique-grpo where nothing is installed", async () => {
    const reward = await load(
      "typed.ts",
      `import { defineReward } from "critique-grpo";
       import type { RewardSample } from "critique-grpo";
       const half: number = 0.5;
       export default defineReward((input: RewardSample) => input.text === "x" ? half : 0);`,
    );
    expect((reward as (input: object) => unknown)({ text: "x" })).toBe(0.5);
  });

  it("prefers a named export and resolves imports next to the module", async () => {
    writeFileSync(join(directory, "helper.ts"), "export const answer: number = 7;");
    const source = `import { answer } from "./helper.ts"; export function reward() { return answer; } export default () => 0;`;
    expect(((await load("named.ts", source)) as () => unknown)()).toBe(7);
  });

  it("loads CommonJS", async () => {
    expect(((await load("common.cjs", "module.exports = () => 3;")) as () => unknown)()).toBe(3);
  });

  it.each([
    ["missing.ts", null, /missing\.ts: no such reward module/],
    ["syntax.ts", "export default (", /syntax\.ts: the reward module does not load: /],
    ["throws.ts", "throw new Error('no luck')", /throws\.ts: the reward module does not load: no luck/],
    [
      "other.ts",
      "export const rewrad = () => 1;",
      /it exports rewrad; did you mean "rewrad"\?\); write: export default/,
    ],
    ["empty.ts", "export {};", /it exports nothing/],
    ["number.ts", "export default 3;", /export "default" must be a function \(the reward\), it is a number/],
  ])("tells what is wrong with %s", async (name, source, message) => {
    const failure = load(name, source);
    await expect(failure).rejects.toThrow(message);
    await expect(failure).rejects.toBeInstanceOf(InputError);
  });
});
