/** Builds the page with vite, unless nothing it is made of has changed since the last time. */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { build } from "vite";

const folder = resolve(import.meta.dirname, "..");
const stamp = join(folder, "dist", "page", ".built-from");
const require = createRequire(import.meta.url);

function fingerprint() {
  const hash = createHash("sha256");
  const sources = readdirSync(join(folder, "src"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  const dependencies = ["preact", "katex", "diff", "vite"].map((name) => require.resolve(`${name}/package.json`));
  const files = [...sources, ...dependencies, join(folder, "vite.config.ts"), import.meta.filename];
  for (const file of files.sort()) hash.update(file).update("\0").update(readFileSync(file));
  return hash.digest("hex");
}

const wanted = fingerprint();
if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== wanted) {
  await build({ root: join(folder, "src/page"), configFile: join(folder, "vite.config.ts") });
  writeFileSync(stamp, wanted);
}
