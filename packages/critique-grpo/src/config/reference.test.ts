import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { configurationReference } from "./reference.js";
import { runSchema } from "./schema.js";
import { keyPaths } from "./schema-walk.js";
import { sftSchema } from "./sft-schema.js";

const SOURCE = resolve(import.meta.dirname, "..");
const DOCUMENT = resolve(SOURCE, "../../../docs/configuration.md");

/** All code that may read a key: not tests, not the schemas themselves. */
function sources(): string {
  return readdirSync(SOURCE, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts") && !/schema\.ts$|reference\.ts$/.test(name))
    .map((name) => readFileSync(join(SOURCE, name), "utf8"))
    .join("\n");
}

const paths = [...new Set([runSchema, sftSchema].flatMap((schema) => keyPaths(schema)).map((path) => path.join(".")))];

describe("the configuration schema", () => {
  it("has no key that nothing reads", () => {
    const code = sources();
    // A key is read as `.key`, or taken out of an object as `{ key` or `, key`.
    const unread = paths.filter((path) => {
      const key = path.split(".").at(-1)!;
      return !new RegExp(`\\.${key}\\b|[{,]\\s*${key}\\b(?!:\\s*["'\\d])`).test(code);
    });
    expect(unread).toEqual([]);
  });

  it("describes every key", () => {
    const rows = configurationReference()
      .split("\n")
      .filter((line) => line.startsWith("| `"));
    const bare = rows.filter((row) => /\|\s*\|$/.test(row) && !/^\| `[^`]*type`/.test(row));
    expect(bare).toEqual([]);
    for (const path of paths)
      expect(
        rows.some((row) => row.startsWith(`| \`${path}\``)),
        path,
      ).toBe(true);
  });

  it("is what docs/configuration.md says (npx critique-grpo schema --markdown > docs/configuration.md)", () => {
    expect(readFileSync(DOCUMENT, "utf8")).toBe(configurationReference());
  });
});
