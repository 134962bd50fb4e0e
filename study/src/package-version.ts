import { readFileSync } from "node:fs";

/** Version of the product that is measured. */
export function packageVersion(): string {
  const manifest = new URL("../package.json", import.meta.resolve("critique-grpo"));
  return (JSON.parse(readFileSync(manifest, "utf8")) as { version: string }).version;
}
