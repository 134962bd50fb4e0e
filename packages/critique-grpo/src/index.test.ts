/** What importing the library costs. */
import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";

describe("import from critique-grpo", () => {
  it("loads no native library: readers of run directories and dashboards need none", () => {
    const script = `
      await import(${JSON.stringify(new URL("../dist/index.js", import.meta.url).href)});
      await import(${JSON.stringify(new URL("../dist/cli/program.js", import.meta.url).href)});
      console.log(JSON.stringify(process.report.getReport().sharedObjects));`;
    const output = execFileSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
    const loaded = (JSON.parse(output) as string[]).filter((path) => /koffi|onnxruntime/.test(path));
    expect(loaded).toEqual([]);
  });
});
