import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { listRunCheckpoints, readMetrics, readStatus } from "../run/readers.js";
import { trainUntilKilled } from "../testing/killed-run.js";

const scratch = mkdtempSync(join(tmpdir(), "critique-grpo-resume-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const program = fileURLToPath(new URL("../testing/killed-run.ts", import.meta.url));

/** Runs the program in a process of its own; the signal that ended it, or null. */
function runProcess(...args: string[]): Promise<NodeJS.Signals | null> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ["--import", "jiti/register", program, ...args], { stdio: "inherit" });
    child.on("error", reject);
    child.on("exit", (code, signal) =>
      code === 0 || signal !== null ? resolve(signal) : reject(new Error(`exit status ${code}`)),
    );
  });
}

describe("a run that is killed with SIGKILL", () => {
  it("continues to bit-identical weights, and is seen as crashed in between", async () => {
    const whole = join(scratch, "whole");
    await trainUntilKilled(whole, "never", false);
    const weights = await readFile(join(whole, "model", "model.json"), "utf8");

    const broken = join(scratch, "broken");
    expect(await runProcess(broken, "refine 1", "")).toBe("SIGKILL");
    expect(await readStatus(broken)).toMatchObject({ state: "crashed", step: 1 });
    expect(await listRunCheckpoints(broken)).toEqual([]);
    expect(await runProcess(broken, "step-finished 5", "resume")).toBe("SIGKILL");
    expect(await readStatus(broken)).toMatchObject({ state: "crashed", step: 5 });
    expect(await listRunCheckpoints(broken)).toEqual([2, 4]);
    await trainUntilKilled(broken, "never", true);
    expect(await readFile(join(broken, "model", "model.json"), "utf8")).toBe(weights);
    expect((await readMetrics(broken)).map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(await readStatus(broken)).toMatchObject({ state: "finished", step: 7 });
  });
});
